//! Takes the place of the net server, and crashes in the middle of its work, later than the driver.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use zazen_hostile::Counted;

zazen_rt::protection_domain!(|| Counted::new(zazen_net_server::init(), 3000));
