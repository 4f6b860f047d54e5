//! The protection domain of the driver of an uplink.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

zazen_rt::protection_domain!(zazen_net_driver::init);
