//! A title is whatever somebody wrote.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_api::fuzzing::table(bytes);
});
