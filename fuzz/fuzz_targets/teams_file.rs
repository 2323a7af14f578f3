//! A teams file is whatever somebody saved.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_domain::fuzzing::teams_file(bytes);
});
