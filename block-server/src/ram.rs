//! RAM disks: files of the image, or memory, as devices.

use block_server_api::{Op, SECTOR, Status};
use guest_mem::Window;
use hv_types::WindowAddr;

use crate::devices::Command;

/// Bytes that are copied at once.
const PIECE: usize = 1024;

/// Does `command` on the disk whose bytes are `disk`, with the area `data`.
///
/// Both are as long as the command needs: the server has checked it.
pub fn run(disk: &impl Window, data: &impl Window, command: &Command) -> Status {
    let Some(start) = command.sector.checked_mul(u64::from(SECTOR)) else {
        return Status::Invalid;
    };
    let bytes = u64::from(command.count) * u64::from(SECTOR);
    match command.op {
        Op::Flush => {}
        // What was discarded reads as zeros.
        Op::Discard => disk.zero(WindowAddr::new(start), bytes),
        Op::Read | Op::Write => {
            let mut piece = [0; PIECE];
            let mut done = 0;
            while done < bytes {
                let piece = match usize::try_from(bytes - done) {
                    Ok(left) if left < PIECE => &mut piece[..left],
                    _ => &mut piece[..],
                };
                let on_disk = WindowAddr::new(start + done);
                let in_area = WindowAddr::new(u64::from(command.offset) + done);
                if command.op == Op::Read {
                    disk.read(on_disk, piece);
                    data.write(in_area, piece);
                } else {
                    data.read(in_area, piece);
                    disk.write(on_disk, piece);
                }
                done += piece.len() as u64;
            }
        }
    }
    Status::Done
}
