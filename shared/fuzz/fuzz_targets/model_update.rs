//! See `rafty_fuzz::TARGETS`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rafty_fuzz::learning::update(bytes));
