//! A page of pull requests is any bytes from the network.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    mergeline_github::fuzzing::page(body);
});
