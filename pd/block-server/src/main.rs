//! The block server's protection domain.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

zazen_rt::protection_domain!(zazen_block_server::init);
