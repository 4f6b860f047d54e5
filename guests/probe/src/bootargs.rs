//! Finds `/chosen`'s `bootargs` in a flattened device tree (Devicetree specification 0.4, chapter
//! 5).

/// Words of the structure block.
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// The bytes of the property without its NUL; empty where there is none or the tree is malformed.
///
/// # Safety
/// `dtb` must point to a flattened device tree that lives as long as the program.
pub unsafe fn find(dtb: *const u8) -> &'static [u8] {
    // SAFETY: the header's 40 bytes are there, and behind them as many as it says.
    let tree = unsafe {
        let header = core::slice::from_raw_parts(dtb, 40);
        let size = word(header, 4).unwrap_or(40);
        core::slice::from_raw_parts(dtb, size as usize)
    };
    search(tree).unwrap_or_default()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// The string at `at`, without its NUL.
fn string(bytes: &[u8], at: usize) -> Option<&[u8]> {
    bytes.get(at..)?.split(|&byte| byte == 0).next()
}

fn search(tree: &'static [u8]) -> Option<&'static [u8]> {
    if word(tree, 0)? != 0xd00d_feed {
        return None;
    }
    let (mut at, strings) = (word(tree, 8)? as usize, word(tree, 12)? as usize);
    let (mut depth, mut chosen) = (0u32, false);
    loop {
        let token = word(tree, at)?;
        at += 4;
        match token {
            BEGIN_NODE => {
                let name = string(tree, at)?;
                depth += 1;
                chosen = depth == 2 && name == b"chosen";
                at = (at + name.len() + 4) & !3;
            }
            END_NODE => {
                depth = depth.checked_sub(1)?;
                chosen = false;
            }
            PROPERTY => {
                let (len, name) = (word(tree, at)? as usize, word(tree, at + 4)? as usize);
                if chosen && string(tree, strings + name)? == b"bootargs" {
                    return string(tree.get(at + 8..at + 8 + len)?, 0);
                }
                at = (at + 8 + len + 3) & !3;
            }
            NOP => {}
            _ => return None,
        }
    }
}
