//! A cursor is whatever somebody sent back.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_api::fuzzing::cursor(bytes);
});
