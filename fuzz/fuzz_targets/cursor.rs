//! A cursor is any text that a client sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_api::fuzzing::cursor(bytes);
});
