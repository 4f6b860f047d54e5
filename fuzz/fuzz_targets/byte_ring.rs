#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::byte_ring(data));
