//! A GraphQL response about pull requests is any bytes from the network.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    mergeline_github::fuzzing::answer(body);
});
