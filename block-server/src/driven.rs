//! Devices whose driver is a program of its own.

use block_server_api::driver::{OWN, offset};
use block_server_api::{DiskInfo, DiskPort, Presence, QUEUE_LEN, Request, Status};

use crate::devices::{Area, Command};
use crate::drives::Hardware;

/// The devices behind a driver: to it the block server is what a VMM is to the block server.
#[derive(Debug)]
pub struct Driven<P> {
    port: P,
    count: usize,
}

impl<P: DiskPort> Driven<P> {
    /// The first `count` devices of the driver at the other end of `port`.
    pub const fn new(port: P, count: usize) -> Self {
        Self { port, count }
    }

    /// The way to the driver.
    pub const fn port(&mut self) -> &mut P {
        &mut self.port
    }
}

/// The driver's number of a device.
fn number(device: usize) -> Option<u8> {
    u8::try_from(device).ok()
}

impl<P: DiskPort> Hardware for Driven<P> {
    fn count(&self) -> usize {
        self.count
    }

    fn presence(&self, device: usize) -> Presence {
        // A driver that has stopped takes its devices with it, seen before or not.
        if self.port.is_lost() {
            return Presence::Gone;
        }
        number(device).map_or(Presence::Absent, |device| self.port.presence(device))
    }

    fn info(&self, device: usize) -> Option<DiskInfo> {
        self.port.info(number(device)?)
    }

    fn submit(&mut self, device: usize, tag: u32, command: &Command) -> bool {
        let area = match command.area {
            Area::Guest(guest) => guest,
            Area::Own => OWN,
        };
        let offset = match command.op.moves_data() {
            true => offset(area, command.offset),
            false => Some(0),
        };
        let (Some(disk), Some(offset)) = (number(device), offset) else {
            return false;
        };
        let request = Request {
            id: tag,
            disk,
            op: command.op,
            offset,
            sector: command.sector,
            count: command.count,
        };
        self.port.under_way() < QUEUE_LEN && self.port.submit(&request)
    }

    fn kick(&mut self) {
        self.port.kick();
    }

    fn take(&mut self) -> Option<(u32, Status)> {
        let answer = self.port.take()?;
        Some((answer.id, answer.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block_server_api::{DATA_SIZE, HEADER_SIZE, Op, Region, driver};
    use guest_mem::VecWindow;
    use ring::sync::AtomicU32;
    use topology::MAX_DOMAINS;

    const _: () = assert!(driver::AREAS == MAX_DOMAINS + 1);
    // The server's own buffer is one piece of a table.
    const _: () = assert!(crate::gpt::PIECE * block_server_api::SECTOR <= DATA_SIZE);

    #[test]
    fn commands_reach_the_driver_and_a_driver_that_stops_takes_its_devices_along() {
        let words = std::vec::Vec::from_iter((0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)));
        let region = Region::new(words.leak()).unwrap();
        let port = region.client(VecWindow::default(), || {}).unwrap();
        let mut end = region.driver().unwrap();
        let mut driven = Driven::new(port, 2);
        assert_eq!(driven.presence(0), Presence::Absent);
        end.set_disk(0, &DiskInfo::plain(64));
        assert_eq!(driven.presence(0), Presence::Present);
        assert_eq!(driven.info(0), Some(DiskInfo::plain(64)));
        let command = Command {
            op: Op::Write,
            sector: 9,
            count: 2,
            area: Area::Guest(3),
            offset: 1024,
        };
        assert!(driven.submit(0, 77, &command));
        let request = end.take().unwrap().unwrap();
        assert_eq!((request.id, request.sector, request.count), (77, 9, 2));
        assert_eq!(driver::area(&request), Some((3, 1024)));
        end.answer(block_server_api::Answer {
            id: 77,
            status: Status::Failed,
        });
        assert_eq!(driven.take(), Some((77, Status::Failed)));
        let own = Command {
            area: Area::Own,
            ..command
        };
        assert!(driven.submit(1, 78, &own));
        let request = end.take().unwrap().unwrap();
        assert_eq!(driver::area(&request), Some((driver::OWN, 1024)));
        let nowhere = Command {
            area: Area::Guest(MAX_DOMAINS + 1),
            ..command
        };
        assert!(!driven.submit(0, 79, &nowhere));
        driven.port().lose();
        assert_eq!(
            [0, 1].map(|device| driven.presence(device)),
            [Presence::Gone; 2]
        );
        assert!(!driven.submit(0, 80, &command));
    }
}
