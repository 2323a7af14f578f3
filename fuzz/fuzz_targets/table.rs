//! A title is any text that an author wrote.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mergeline_api::fuzzing::table(bytes);
});
