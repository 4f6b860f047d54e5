//! What the console prints of the ports' counters, at its own pace.

use std::sync::atomic::AtomicU32;

use console_api::{ConsolePort, Logger};
use guest_mem::{VecWindow, Window as _};
use hv_types::{Mac, WindowAddr};
use net_server::{PortSpec, Report, Server};
use net_server_api::{Client, DATA_SIZE, HEADER_SIZE, NetPort as _, Offload, Region};

/// A console that takes `room` bytes until it is emptied.
#[derive(Default)]
struct Port {
    keys: Vec<u8>,
    taken: Vec<u8>,
    room: usize,
}

impl ConsolePort for Port {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let count = self.room.min(bytes.len());
        self.taken.extend(&bytes[..count]);
        self.room -= count;
        count
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let count = self.keys.len().min(into.len());
        into[..count].copy_from_slice(&self.keys[..count]);
        self.keys.drain(..count);
        count
    }
    fn room(&self) -> usize {
        self.room
    }
}

type Vmm = Client<'static, &'static VecWindow, fn()>;
type Net = Server<'static, &'static VecWindow>;

const MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])];

/// Adds a guest whose interface uses the network.
fn add(server: &mut Net, guest: usize) -> (Vmm, &'static VecWindow) {
    let words = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0));
    let region = Region::new(Vec::leak(words.collect())).unwrap();
    let window = VecWindow::new().with(WindowAddr::new(0), DATA_SIZE.into());
    let data: &'static VecWindow = Box::leak(Box::new(window));
    let spec = PortSpec {
        network: 0,
        mac: MACS[guest],
    };
    server.add(guest, region.server(data).unwrap(), [spec]);
    let mut vmm = region.client(data, (|| ()) as fn()).unwrap();
    vmm.set_open(0, true);
    (vmm, data)
}

/// A network of two guests: the first has sent the second a frame, forged one and sent one to
/// nobody.
fn used() -> Net {
    let mut server = Server::new();
    let (mut vmm, data) = add(&mut server, 0);
    add(&mut server, 1);
    let nobody = Mac([2, 0, 0, 0, 0, 9]);
    let frames = [(MACS[1], MACS[0]), (MACS[1], nobody), (nobody, MACS[0])];
    for (len, (to, from)) in (100..).zip(frames) {
        let at = vmm.reserve(0, len).unwrap();
        data.write(WindowAddr::new(at.into()), &[to.0, from.0].concat());
        assert!(vmm.send(0, len, Offload::default()));
    }
    while server.turn(0).more {}
    server
}

/// The report as a console with much room prints it.
const REPORT: &str = "\
interface          frames out       bytes  frames in       bytes
linux1           0          3         303          0           0
  dropped: 1 forged, 1 to nobody
linux2           0          0           0          1         100
";

fn name(guest: usize) -> &'static str {
    ["linux1", "linux2"][guest]
}

#[test]
fn a_slow_console_gets_the_whole_report_once_it_asks() {
    let server = used();
    for room in [1, 7, 64, 8192] {
        let mut log = Logger::new(Port::default());
        let mut report = Report::default();
        log.port().room = room;
        report.on_console(&server, &name, &mut log);
        assert_eq!(log.port().taken, b"", "nobody asked");
        log.port().keys = b"xn?n".to_vec();
        for _ in 0..=REPORT.len().div_ceil(room) {
            log.port().room = room;
            report.on_console(&server, &name, &mut log);
        }
        assert_eq!(log.port().room, room, "it ends");
        let taken = String::from_utf8(log.port().taken.clone()).unwrap();
        assert_eq!(taken, REPORT, "{room} bytes at a time");
    }
}
