#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tulle_fuzz::run("telemetry_files", bytes));
