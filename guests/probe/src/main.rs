//! A bare-metal EL1 guest that tests and measures the hypervisor below it.
//!
//! It runs with the MMU off, so guest virtual and physical addresses are the same, prints through
//! `console_io` and ends with PSCI `SYSTEM_OFF`. Which sets run is chosen in its `bootargs`:
//!
//! - `probe=bad`: what a guest should not do. Each access prints what happened.
//! - `probe=abi`: return codes of hypercalls with good and bad arguments.
//! - `probe=codes`: many more of them, for a run on Xen beside one here; the differences it knows
//!   are those of SUPPORT.md.
//! - `probe=store`: xenstore: operations, errors, permissions, quotas, watches and transactions.
//! - `probe=disk`, `probe=net`: a front end that does what none should, `requests=N` times.
//! - `probe=bench`: what one operation costs, in instructions under `-icount shift=0`.
//! - `probe=bench-memory`: the same for ballooning; the last set, because it says that the figures
//!   are complete.
//! - `probe=bench-pause`: how long the guest stands still while 128 MiB go and come.
//! - `probe=reboot`: restarts for ever and looks each time whether the machine is as new.
//! - `probe=spin`: takes what it can have, then computes for ever without an exit.
//! - `probe=share`: measures what it gets of the processor, in `windows=N` windows of 100 ms after
//!   `warm-up=MS`.
//! - `probe=idle`: waits for nothing, for ever.
//! - `probe=late`: sleeps, and measures by how much it is woken too late.
//! - `probe=smp`: four vCPUs: power, interrupts between them, timers and events of each; vCPUs go
//!   off and on `rounds=N` times.
//! - `probe=smp-bench`: what it costs to reach another vCPU.
//! - `probe=smp-lock`: what a spin lock costs four vCPUs that share a processor.
//! - `probe=storm`: one of the attacks of `storm.rs`, `attack=NAME`, for ever, on `vcpus=N`.
//! - `probe=shared`: static shared memory at `at=ADDRESS` of `bytes=SIZE` (hexadecimal), as
//!   `role=owner` or `role=borrower`, with a static event channel at port 5.
//! - `probe=peers`: event channels to domain `other=N`, as `role=host` or `role=caller`.
//! - `probe=peers-bench`: what grants of domain `other=N` cost, which is `role=host`.
//! - `probe=registers`: as guest `who=0` beside one with `who=1`: which system registers the two
//!   share.
//! - `probe=beat`: works and counts, and `probe=attack` with `attack=WAY` arms debug registers or
//!   counters against it.
//! - `x7=N`: how far below zero the sweep of x7 goes (debug kernels act on values below -11).
//!
//! Lines are `probe: SET NAME PASS|FAIL details`, `bench: NAME INSTRUCTIONS`, and at the end
//! `probe: done N passed, N failed`.
#![no_std]
#![no_main]

mod abi;
mod abi_device;
mod abi_events;
mod abi_memory;
mod bad;
mod bad_calls;
mod bench;
mod bench_memory;
mod bench_pause;
mod bootargs;
mod codes;
mod console;
mod cpu;
mod debug;
mod device;
mod disk;
mod gic;
mod late;
mod net;
mod page;
mod peers;
mod reboot;
mod registers;
mod report;
mod share;
mod smp;
mod spin;
mod start;
mod store;
mod storm;
mod trap;
mod xen;

use report::Report;

/// First Rust code, from `start`: `dtb` is what was in x0.
#[unsafe(no_mangle)]
extern "C" fn probe_main(dtb: *const u8) -> ! {
    // SAFETY: the boot protocol puts a device tree at x0, and nothing else uses that memory.
    let arguments = unsafe { bootargs::find(dtb) };
    let arguments = core::str::from_utf8(arguments).unwrap_or_default();
    let option = |name: &str| {
        arguments
            .split(' ')
            .find_map(|word| word.strip_prefix(name))
    };
    println!("probe: bootargs {arguments}");
    let mut report = Report::default();
    for set in option("probe=").unwrap_or("abi").split(',') {
        match set {
            "bad" => {
                bad::run(&mut report);
                bad_calls::run(
                    &mut report,
                    option("x7=").and_then(|n| n.parse().ok()).unwrap_or(11),
                );
            }
            "abi" => {
                abi::run(&mut report);
                abi_device::run(&mut report);
                abi_events::run(&mut report);
                abi_memory::run(&mut report);
            }
            "codes" => codes::run(&mut report),
            "store" => store::run(&mut report),
            "disk" => disk::run(
                &mut report,
                option("requests=").and_then(|n| n.parse().ok()),
            ),
            "net" => net::run(
                &mut report,
                option("requests=").and_then(|n| n.parse().ok()),
            ),
            "bench" => bench::run(),
            "bench-memory" => {
                bench_memory::run();
                println!("bench: done 0");
            }
            "bench-pause" => {
                bench_pause::run();
                println!("bench: done 0");
            }
            "reboot" => reboot::run(&mut report),
            "spin" => spin::run(&mut report),
            "share" => {
                let windows = option("windows=").and_then(|n| n.parse().ok());
                let warm_up = option("warm-up=").and_then(|n| n.parse().ok());
                share::run(windows, warm_up)
            }
            "late" => late::run(),
            "idle" => {
                println!("idle: sleeps");
                loop {
                    cpu::sleep();
                }
            }
            "storm" => storm::run(
                option("attack=").unwrap_or_default(),
                option("vcpus=").and_then(|n| n.parse().ok()).unwrap_or(1),
            ),
            "smp" => smp::run(&mut report, option("rounds=").and_then(|n| n.parse().ok())),
            "smp-lock" => smp::lock::run(),
            "smp-bench" => {
                smp::bench::run();
                println!("bench: done 0");
            }
            "registers" => registers::run(
                &mut report,
                option("who=").and_then(|n| n.parse().ok()).unwrap_or(0),
            ),
            "peers" => peers::run(
                &mut report,
                option("role=").unwrap_or_default(),
                option("other=").and_then(|n| n.parse().ok()).unwrap_or(0),
                option("lives=") != Some("1"),
            ),
            "shared" => {
                let number = |text: &str| u64::from_str_radix(text, 16).ok();
                let number = |name: &str| option(name).and_then(number).unwrap_or(0);
                peers::shared::run(
                    &mut report,
                    option("role=").unwrap_or_default(),
                    number("at="),
                    number("bytes="),
                );
            }
            "peers-bench" => peers::bench::run(
                option("role=").unwrap_or_default(),
                option("other=").and_then(|n| n.parse().ok()).unwrap_or(0),
            ),
            "beat" => debug::beat(&mut report),
            "attack" => debug::attack(option("attack=").unwrap_or_default()),
            _ => report.check("main", "set", false, format_args!("there is no set {set}")),
        }
    }
    report.finish();
    cpu::power_off()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("probe: panic: {info}");
    cpu::power_off()
}
