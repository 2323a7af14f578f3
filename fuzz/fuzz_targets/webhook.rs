//! A delivery of a webhook is any headers and body that someone sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_webhooks::fuzzing::webhook(bytes);
});
