//! Takes the place of the net driver, and crashes in the middle of its work.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use zazen_hostile::Counted;

zazen_rt::protection_domain!(|| Counted::new(zazen_net_driver::init(), 300));
