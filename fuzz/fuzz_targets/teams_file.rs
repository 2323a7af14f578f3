//! A teams file is any bytes that a user saved.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_domain::fuzzing::teams_file(bytes);
});
