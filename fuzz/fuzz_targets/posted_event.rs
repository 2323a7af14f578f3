//! A posted deployment or incident is any body that a client with a key sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_api::fuzzing::posted_event(bytes);
});
