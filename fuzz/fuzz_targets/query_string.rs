//! A query string is any text that a client sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_api::fuzzing::query_string(bytes);
});
