//! A query string is whatever somebody typed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_api::fuzzing::query_string(bytes);
});
