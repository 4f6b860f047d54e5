//! Turns: requests in, answers out.

use block_server_api::driver::{AREAS, area};
use block_server_api::{Answer, DiskInfo, Op, QUEUE_LEN, Request, ServerEnd, Status};

/// A device; nothing here waits.
pub trait Device {
    /// What it is.
    fn info(&self) -> DiskInfo;
    /// Starts a request for `count` sectors from `sector`, whose bytes are at the physical address
    /// `bytes`, if it moves any. `tag` comes back from [`Device::take`] once. `false` where there
    /// is no room now.
    fn submit(&mut self, tag: u32, op: Op, sector: u64, count: u32, bytes: Option<u64>) -> bool;
    /// Lets it begin with what was submitted.
    fn kick(&mut self);
    /// A request that has ended, and how.
    fn take(&mut self) -> Option<(u32, Status)>;
    /// Its interrupt has come: it may raise it again.
    fn acknowledge(&mut self);
}

/// What a turn has left to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Turn {
    /// The block server is to be notified.
    pub notify: bool,
    /// There is more to do now.
    pub more: bool,
}

/// The driver of one device, which is device 0 to the block server.
#[derive(Debug)]
pub struct Driver<'a, D> {
    end: ServerEnd<'a>,
    device: D,
    info: DiskInfo,
    /// Physical addresses of the areas; 0 where there is none.
    areas: [u64; AREAS],
    /// The request for which the device has no room yet.
    waits: Option<Request>,
}

impl<'a, D: Device> Driver<'a, D> {
    /// Tells the block server, which is to be notified, of the device.
    pub fn new(mut end: ServerEnd<'a>, device: D, areas: [u64; AREAS]) -> Self {
        let info = device.info();
        end.set_disk(0, &info);
        Self {
            end,
            device,
            info,
            areas,
            waits: None,
        }
    }

    /// The device's interrupt has come.
    pub fn on_interrupt(&mut self) {
        self.device.acknowledge();
    }

    /// Does what there is to do, a bounded part of it.
    pub fn turn(&mut self) -> Turn {
        // No more are under way than a queue holds.
        for _ in 0..QUEUE_LEN {
            let Some((id, status)) = self.device.take() else {
                break;
            };
            self.end.answer(Answer { id, status });
        }
        let mut turn = Turn::default();
        for _ in 0..QUEUE_LEN {
            if !self.begin() {
                break;
            }
        }
        self.device.kick();
        turn.notify = self.end.take_notify();
        turn.more = self.waits.is_none() && self.end.has_request();
        turn
    }

    /// Begins the next request, or answers it; `false` where there is none or no room.
    fn begin(&mut self) -> bool {
        let request = match self.waits.take().map(Ok).or_else(|| self.end.take()) {
            Some(Ok(request)) => request,
            Some(Err(refused)) => {
                self.answer(refused.id, Status::Invalid);
                return true;
            }
            None => return false,
        };
        let bytes = match self.check(&request) {
            Ok(bytes) => bytes,
            Err(status) => {
                self.answer(request.id, status);
                return true;
            }
        };
        let Request {
            id,
            op,
            sector,
            count,
            ..
        } = request;
        let begun = self.device.submit(id, op, sector, count, bytes);
        if !begun {
            self.waits = Some(request);
        }
        begun
    }

    /// The physical address of the request's bytes, if it moves any.
    fn check(&self, request: &Request) -> Result<Option<u64>, Status> {
        if request.disk != 0 {
            return Err(Status::Gone);
        }
        self.info.check(request)?;
        if !request.op.moves_data() {
            return Ok(None);
        }
        let (area, at) = area(request).ok_or(Status::Invalid)?;
        let start = self.areas.get(area).copied().filter(|start| *start != 0);
        let bytes = start.and_then(|start| start.checked_add(at.into()));
        bytes.map(Some).ok_or(Status::Invalid)
    }

    fn answer(&mut self, id: u32, status: Status) {
        self.end.answer(Answer { id, status });
    }
}
