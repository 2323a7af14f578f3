//! GraphQL's answer about pull requests is whatever the network brings.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    mergeline_github::fuzzing::answer(body);
});
