//! The block driver's protection domain.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

zazen_rt::protection_domain!(zazen_block_driver::init);
