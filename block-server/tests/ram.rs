//! RAM disks, of whose answers nobody tells but the server itself.

mod common;

use block_server::gpt::PIECE;
use block_server::{Drives, NoHardware, Server};
use block_server_api::{
    DATA_SIZE, DiskPort, HEADER_SIZE, Op, Part, Presence, Region, Request, Status, VolumeSpec,
};
use common::{request, table, window};
use guest_mem::{VecWindow, Window};
use hv_types::WindowAddr;
use ring::sync::AtomicU32;

#[test]
fn a_partition_of_a_ram_disk_answers_without_an_interrupt() {
    let words: Vec<AtomicU32> = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect();
    let region = Region::new(&words).unwrap();
    let disk = window(8192 * 512);
    disk.write(WindowAddr::new(0), &table(&[(100, 199, "data")]));
    disk.write(WindowAddr::new((100 + 7) * 512), &[0x5a; 512]);
    let mut drives = Drives::new(NoHardware, window(u64::from(PIECE) * 512));
    assert!(drives.add_ram(disk, 8192));
    drives.set_area(0, window(DATA_SIZE.into()));
    let mut server = Server::new();
    let part = Part::Label("data".try_into().unwrap());
    let (device, read_only) = (0, false);
    let spec = VolumeSpec {
        device,
        part,
        read_only,
    };
    server.add(0, region.server().unwrap(), [spec]);
    let mut port = region.client(VecWindow::default(), || {}).unwrap();
    // As a protection domain does: on as long as there is more, then asleep.
    let mut work = || {
        for _ in 0..1000 {
            if !server.turn(&mut drives).more {
                return;
            }
        }
        panic!("no end");
    };
    work();
    assert_eq!(port.presence(0), Presence::Present);
    assert_eq!(port.info(0).unwrap().sectors, 100);
    for (id, op) in [
        (1, Op::Read),
        (2, Op::Write),
        (3, Op::Flush),
        (4, Op::Discard),
    ] {
        let (sector, count) = if op == Op::Flush { (0, 0) } else { (7, 1) };
        assert!(port.submit(&Request {
            id,
            ..request(op, 0, sector, count)
        }));
        work();
        let answer = port.take().unwrap();
        assert_eq!((answer.id, answer.status), (id, Status::Done));
    }
}
