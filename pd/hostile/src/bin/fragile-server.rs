//! Takes the place of the block server, and crashes in the middle of its work, later than the
//! driver.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use zazen_hostile::Counted;

zazen_rt::protection_domain!(|| Counted::new(zazen_block_server::init(), 3000));
