//! Turns: requests in, commands out, answers back.

use block_server_api::{
    Answer, DiskInfo, MAX_DISKS, Op, Part, Presence, Request, ServerEnd, Status, VolumeSpec,
};
use heapless::Deque;
use topology::MAX_DOMAINS;

use crate::devices::{Area, Command, Devices, MAX_DEVICES};
use crate::flight::{FLIGHTS, Flights, Owner};
use crate::gpt::{PIECE, Reader, SECTOR};
use crate::notice::Notice;
use crate::share::{QUANTUM, Share, WINDOW, cost};
use crate::volume::{Place, Volume};

/// Commands that a turn begins at most.
const BATCH: usize = 64;
/// Turns after which a guest that owes all of its data area has paid.
const ROUNDS: usize = (cost(block_server_api::DATA_SIZE) / QUANTUM + 2) as usize;
/// Notices that wait at most; more are forgotten.
const NOTICES: usize = 32;

/// What a turn has left to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Turn {
    /// VMMs to be notified, a bit each.
    pub notify: u32,
    /// There is more to do now.
    pub more: bool,
}

#[derive(Debug)]
struct Guest<'a> {
    end: ServerEnd<'a>,
    volumes: [Option<Volume>; MAX_DISKS],
    share: Share,
    /// The request that is begun next.
    waits: Option<Waiting>,
}

/// A request that is sound, and where it goes.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: Request,
    place: Place,
    device: usize,
}

#[derive(Clone, Copy, Debug)]
struct Device {
    state: State,
    /// What its commands under way cost.
    busy: u32,
    /// Whose turn it is there.
    next: usize,
    /// The guest that has got its part of this turn.
    visited: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody has seen it yet.
    Unknown,
    /// Its table is to be read.
    Waits(DiskInfo),
    /// Its volumes are known.
    Ready,
    /// It is no more.
    Gone,
}

/// The server.
#[derive(Debug)]
pub struct Server<'a> {
    guests: [Option<Guest<'a>>; MAX_DOMAINS],
    devices: [Device; MAX_DEVICES],
    flights: Flights,
    /// The table that is being read, of which device.
    reader: Option<(usize, Reader)>,
    /// Whether a piece of it is under way.
    reading: bool,
    notices: Deque<Notice, NOTICES>,
}

impl Default for Server<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Server<'a> {
    /// A server without guests.
    #[must_use]
    pub const fn new() -> Self {
        const DEVICE: Device = Device {
            state: State::Unknown,
            busy: 0,
            next: 0,
            visited: None,
        };
        Self {
            guests: [const { None }; MAX_DOMAINS],
            devices: [DEVICE; MAX_DEVICES],
            flights: Flights::new(),
            reader: None,
            reading: false,
            notices: Deque::new(),
        }
    }

    /// Guest `guest` has these disks, numbered from 0; at most [`MAX_DISKS`] count.
    pub fn add(
        &mut self,
        guest: usize,
        end: ServerEnd<'a>,
        disks: impl IntoIterator<Item = VolumeSpec>,
    ) {
        let mut volumes = [const { None }; MAX_DISKS];
        for (slot, spec) in volumes.iter_mut().zip(disks) {
            if spec.device < MAX_DEVICES {
                *slot = Some(Volume { spec, place: None });
            }
        }
        if let Some(slot) = self.guests.get_mut(guest) {
            *slot = Some(Guest {
                end,
                volumes,
                share: Share::default(),
                waits: None,
            });
        }
    }

    /// The next thing that a person should know.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Commands under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        (0..MAX_DEVICES).map(|d| self.flights.at(d).count()).sum()
    }

    /// Does what there is to do, a bounded part of it.
    pub fn turn(&mut self, devices: &mut impl Devices) -> Turn {
        let mut turn = Turn::default();
        for _ in 0..FLIGHTS {
            let Some((tag, status)) = devices.take() else {
                break;
            };
            self.ended(tag, status, devices);
        }
        self.look(devices, &mut turn);
        self.read_table(devices, &mut turn);
        turn.more |= self.begin(devices);
        devices.kick();
        turn.more |= devices.has_ended();
        for (index, guest) in self.guests.iter_mut().enumerate() {
            if guest.as_mut().is_some_and(|guest| guest.end.take_notify()) {
                turn.notify |= 1 << index;
            }
        }
        turn
    }

    fn note(&mut self, notice: Notice) {
        // Who cannot read so fast misses some.
        let _ = self.notices.push_back(notice);
    }

    /// Answers the request, if there is one, whose command had this tag.
    fn ended(&mut self, tag: u32, status: Status, devices: &impl Devices) {
        let Some(flight) = self.flights.end(tag) else {
            return;
        };
        if let Some(device) = self.devices.get_mut(flight.device) {
            device.busy = device.busy.saturating_sub(flight.cost);
        }
        match flight.owner {
            Owner::Guest { guest, id } => {
                if let Some(guest) = self.guests.get_mut(guest).and_then(Option::as_mut) {
                    guest.end.answer(Answer { id, status });
                }
            }
            Owner::Table => {
                self.reading = false;
                let mut piece = [0; PIECE as usize * SECTOR];
                devices.own(&mut piece);
                if let Some((_, reader)) = &mut self.reader {
                    reader.give((status == Status::Done).then_some(&piece));
                }
            }
        }
    }

    /// Notices devices that have come or gone.
    fn look(&mut self, devices: &impl Devices, turn: &mut Turn) {
        for device in 0..MAX_DEVICES {
            match (self.devices[device].state, devices.presence(device)) {
                (State::Unknown, Presence::Present) => {
                    if let Some(info) = devices.info(device) {
                        self.came(device, info, turn);
                    }
                }
                (State::Gone, _) => {}
                (_, Presence::Gone) => self.went(device, devices, turn),
                _ => {}
            }
        }
    }

    fn came(&mut self, device: usize, info: DiskInfo, turn: &mut Turn) {
        let mut volumes = self
            .guests
            .iter()
            .flatten()
            .flat_map(|guest| guest.volumes.iter().flatten());
        let needs_table =
            volumes.any(|volume| volume.spec.device == device && volume.spec.part != Part::Whole);
        if !needs_table {
            self.devices[device].state = State::Ready;
            self.place(device, &info, None, turn);
        } else if info.sector_size as usize == SECTOR {
            self.devices[device].state = State::Waits(info);
        } else {
            // Tables count in the device's own sectors, and nobody has asked for that yet.
            let fault = crate::gpt::Fault::SectorSize;
            self.devices[device].state = State::Ready;
            self.note(Notice::NoTable { device, fault });
            self.place(device, &info, None, turn);
        }
    }

    fn went(&mut self, device: usize, devices: &impl Devices, turn: &mut Turn) {
        self.devices[device].state = State::Gone;
        self.note(Notice::Gone { device });
        while let Some(tag) = self.flights.one_at(device) {
            self.ended(tag, Status::Gone, devices);
        }
        if self.reader.as_ref().is_some_and(|(of, _)| *of == device) {
            self.reader = None;
        }
        for (index, guest) in self.guests.iter_mut().enumerate() {
            let Some(guest) = guest else { continue };
            for (disk, volume) in (0..).zip(&mut guest.volumes) {
                if let Some(volume) = volume.as_mut().filter(|v| v.spec.device == device) {
                    volume.place = None;
                    guest.end.remove_disk(disk);
                    turn.notify |= 1 << index;
                }
            }
        }
    }

    /// Asks for the next piece of a table, or gives out what a complete one says.
    fn read_table(&mut self, devices: &mut impl Devices, turn: &mut Turn) {
        if self.reader.is_none() {
            let waits = |device: &Device| matches!(device.state, State::Waits(_));
            let Some(device) = self.devices.iter().position(waits) else {
                return;
            };
            if let State::Waits(info) = self.devices[device].state {
                self.reader = Some((device, Reader::new(info.sectors)));
            }
        }
        let Some((device, reader)) = &self.reader else {
            return;
        };
        let device = *device;
        if self.reading {
            return;
        }
        if let Some(piece) = reader.next() {
            let command = Command {
                op: Op::Read,
                sector: piece.sector,
                count: piece.count,
                area: Area::Own,
                offset: 0,
            };
            self.reading = self.submit(devices, device, Owner::Table, &command);
            return;
        }
        let Some((_, reader)) = self.reader.take() else {
            return;
        };
        let State::Waits(info) = self.devices[device].state else {
            return;
        };
        self.devices[device].state = State::Ready;
        match reader.table() {
            Ok((table, fault)) => {
                if let Some(fault) = fault {
                    self.note(Notice::Damaged { device, fault });
                }
                self.place(device, &info, Some(table), turn);
            }
            Err(fault) => {
                self.note(Notice::NoTable { device, fault });
                self.place(device, &info, None, turn);
            }
        }
        turn.more = true;
    }

    /// Gives guests the volumes of `device`, in their order, if nobody else's disk is there whom
    /// that would hurt.
    fn place(
        &mut self,
        device: usize,
        info: &DiskInfo,
        table: Option<&crate::gpt::Table>,
        turn: &mut Turn,
    ) {
        for index in 0..self.guests.len() {
            for disk in 0..MAX_DISKS {
                let Some(guest) = &self.guests[index] else {
                    break;
                };
                let Some(volume) = &guest.volumes[disk] else {
                    continue;
                };
                if volume.spec.device != device {
                    continue;
                }
                let place = Place::of(&volume.spec, info, table);
                #[expect(clippy::cast_possible_truncation, reason = "below MAX_DISKS")]
                let number = disk as u8;
                let Some(place) = place else {
                    self.note(Notice::NoPart {
                        guest: index,
                        disk: number,
                    });
                    continue;
                };
                if let Some(other) = self.user(device, &place) {
                    self.note(Notice::Shared {
                        guest: index,
                        disk: number,
                        other,
                    });
                    continue;
                }
                if let Some(guest) = &mut self.guests[index]
                    && let Some(volume) = &mut guest.volumes[disk]
                {
                    volume.place = Some(place);
                    guest.end.set_disk(number, &place.info);
                }
                turn.notify |= 1 << index;
                let (sectors, read_only) = (place.info.sectors, place.info.read_only);
                self.note(Notice::Ready {
                    guest: index,
                    disk: number,
                    sectors,
                    read_only,
                });
            }
        }
    }

    /// Whose disk is at `place` of `device` already, where one of the two may be written.
    fn user(&self, device: usize, place: &Place) -> Option<usize> {
        self.guests.iter().position(|guest| {
            let volumes = guest
                .iter()
                .flat_map(|guest| guest.volumes.iter().flatten());
            let mut places = volumes
                .filter(|volume| volume.spec.device == device)
                .filter_map(|volume| volume.place);
            places
                .any(|other| other.meets(place) && !(other.info.read_only && place.info.read_only))
        })
    }

    fn submit(
        &mut self,
        devices: &mut impl Devices,
        device: usize,
        owner: Owner,
        command: &Command,
    ) -> bool {
        let Some(tag) = self.flights.free() else {
            return false;
        };
        if !devices.submit(device, tag, command) {
            return false;
        }
        self.flights.start(tag, owner, device, command);
        let busy = &mut self.devices[device].busy;
        *busy = busy.saturating_add(cost(command.bytes()));
        true
    }

    /// Begins what guests ask for, in turns; whether there is more that could be begun now.
    fn begin(&mut self, devices: &mut impl Devices) -> bool {
        let mut left = BATCH;
        for guest in self.guests.iter_mut().flatten() {
            guest.fetch();
        }
        let mut from = 0;
        while let Some(device) = self.waited_for(from) {
            from = device + 1;
            while self.devices[device].busy < WINDOW
                && let Some(index) = self.turn_of(device)
            {
                if left == 0 {
                    return true;
                }
                if !self.serve(device, index, devices) {
                    break;
                }
                left -= 1;
            }
        }
        false
    }

    /// The first device from `from` on for which a guest waits.
    fn waited_for(&self, from: usize) -> Option<usize> {
        let waiting = self.guests.iter().flatten();
        let devices = waiting.filter_map(|guest| Some(guest.waits?.device));
        devices.filter(|device| *device >= from).min()
    }

    /// The guest whose turn it is at `device` and who may begin something there: it has had its
    /// part of the turn added, and does not owe. `None` where nobody waits.
    fn turn_of(&mut self, device: usize) -> Option<usize> {
        // Whoever waits for one device is not among those of another; who owes most, a whole data
        // area, comes to its turn after so many rounds.
        for _ in 0..self.guests.len() * ROUNDS {
            let state = &mut self.devices[device];
            let order = (0..MAX_DOMAINS).map(|step| (state.next + step) % MAX_DOMAINS);
            let mut waiting = order.filter(|&index| {
                let guest = self.guests.get(index).and_then(Option::as_ref);
                guest.is_some_and(|guest| guest.waits_for(device))
            });
            let index = waiting.next()?;
            let share = &mut self.guests[index].as_mut()?.share;
            if state.visited != Some(index) {
                state.visited = Some(index);
                share.refill();
            }
            if share.is_open() {
                state.next = index;
                return Some(index);
            }
            state.leave(index);
        }
        None
    }

    /// Begins the request of guest `index` that waits for `device`; `false` where there is no room.
    fn serve(&mut self, device: usize, index: usize, devices: &mut impl Devices) -> bool {
        let Some(guest) = self.guests.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        let Some(Waiting { request, place, .. }) = guest.waits else {
            return false;
        };
        let command = place.command(index, &request);
        let id = request.id;
        if !self.submit(devices, device, Owner::Guest { guest: index, id }, &command) {
            return false;
        }
        let Some(guest) = self.guests.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        guest.share.charge(cost(command.bytes()));
        guest.waits = None;
        guest.fetch();
        if !guest.waits_for(device) {
            guest.share.forfeit();
        }
        if !guest.waits_for(device) || !guest.share.is_open() {
            self.devices[device].leave(index);
        }
        true
    }
}

impl Device {
    /// The turn of guest `index` is over.
    fn leave(&mut self, index: usize) {
        self.next = (index + 1) % MAX_DOMAINS;
        self.visited = None;
    }
}

impl Guest<'_> {
    fn waits_for(&self, device: usize) -> bool {
        self.waits.is_some_and(|waits| waits.device == device)
    }

    /// Takes the next request that can be begun, if none waits; those that cannot be are answered.
    fn fetch(&mut self) {
        if let Some(waits) = self.waits {
            // Its disk may have gone since.
            if self.place(waits.request.disk).is_some() {
                return;
            }
            self.waits = None;
            self.answer(waits.request.id, Status::Gone);
        }
        // No more than a queue holds.
        for _ in 0..block_server_api::QUEUE_LEN {
            let request = match self.end.take() {
                Some(Ok(request)) => request,
                Some(Err(refused)) => {
                    self.answer(refused.id, Status::Invalid);
                    continue;
                }
                None => return,
            };
            let Some((place, device)) = self.place(request.disk) else {
                self.answer(request.id, Status::Gone);
                continue;
            };
            match place.info.check(&request) {
                // Nothing is in a cache that does not exist.
                Ok(()) if request.op == Op::Flush && !place.info.flush => {
                    self.answer(request.id, Status::Done);
                }
                Ok(()) => {
                    self.waits = Some(Waiting {
                        request,
                        place,
                        device,
                    });
                    return;
                }
                Err(status) => self.answer(request.id, status),
            }
        }
    }

    fn place(&self, disk: u8) -> Option<(Place, usize)> {
        let volume = self.volumes.get(usize::from(disk))?.as_ref()?;
        Some((volume.place?, volume.spec.device))
    }

    fn answer(&mut self, id: u32, status: Status) {
        self.end.answer(Answer { id, status });
    }
}
