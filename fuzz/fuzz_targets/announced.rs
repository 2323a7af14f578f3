//! What a delivery of a webhook carries comes through a queue, from bytes that someone signed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_github::fuzzing::announced(bytes);
});
