//! Paths.

use heapless::Vec;
use xen_abi::Errno;
use xenstore_server_api::quota;

use crate::who::Who;

/// Longest directory of a domain with a slash: `/local/domain/N/`.
const DIRECTORY_MAX: usize = 20;
/// Bytes of the longest path there can be.
pub(crate) const PATH_MAX: usize = quota::PATH - 1 + DIRECTORY_MAX;

/// A path from the root on, or that of a special node.
pub(crate) type Path = Vec<u8, PATH_MAX>;

/// What every domain's directory begins with.
const DOMAINS: &[u8] = b"/local/domain/";

/// The directory of the domain with this id.
pub(crate) fn directory(domid: u16) -> Path {
    let mut path = Path::new();
    // The longest is much shorter than a path may be.
    let _ = path.extend_from_slice(DOMAINS);
    let mut number: heapless::String<8> = heapless::String::new();
    let _ = core::fmt::Write::write_fmt(&mut number, format_args!("{domid}"));
    let _ = path.extend_from_slice(number.as_bytes());
    path
}

/// Whether a guest wrote it below its own directory, without saying so.
pub(crate) fn is_relative(name: &[u8]) -> bool {
    !matches!(name.first(), Some(b'/' | b'@'))
}

/// The path that `who` means by `name`. `special` allows `@...`.
///
/// # Errors
/// `Einval`: it is none, or longer than a guest's may be.
pub(crate) fn canonical(who: Who, name: &[u8], special: bool) -> Result<Path, Errno> {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-/_@".contains(byte);
    if !name.iter().all(valid) || (name.first() == Some(&b'@') && !special) {
        return Err(Errno::Einval);
    }
    let mut path = Path::new();
    if is_relative(name) {
        path = directory(who.domid());
        path.push(b'/').map_err(|_| Errno::Einval)?;
    }
    path.extend_from_slice(name).map_err(|_| Errno::Einval)?;
    let ends = path.last() == Some(&b'/') && path.len() > 1;
    let long = who.is_bounded() && path.len() - prefix(&path) >= quota::PATH;
    if ends || long || path.windows(2).any(|pair| pair == b"//") {
        return Err(Errno::Einval);
    }
    Ok(path)
}

/// The directory of a device of `guest`, front or back end, that `path` is or lies in.
pub(crate) fn device_of(guest: Who, path: &[u8]) -> Option<&[u8]> {
    let domain = directory(guest.domid());
    let (_, id) = domain.split_at_checked(DOMAINS.len())?;
    let rest = path.strip_prefix(DOMAINS)?;
    // What is left of it from the device's type on, and the parts of that which name a device.
    let (rest, parts) = match rest.strip_prefix(b"0/backend/") {
        Some(rest) => {
            let domid = rest.split(|&byte| byte == b'/').nth(1)?;
            (rest, (domid == id).then_some(3)?)
        }
        None => (rest.strip_prefix(id)?.strip_prefix(b"/device/")?, 2),
    };
    let mut ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let end = ends.nth(parts - 1).map_or(rest.len(), |(at, _)| at);
    let has_all = rest.split(|&byte| byte == b'/').count() >= parts;
    path.get(..path.len() - rest.len() + end)
        .filter(|_| has_all)
}

/// Bytes in front of a path that do not count: those of a domain's directory, with its slash.
fn prefix(path: &[u8]) -> usize {
    let Some(rest) = path.strip_prefix(DOMAINS) else {
        return 0;
    };
    let digits = rest
        .iter()
        .take(5)
        .take_while(|b| b.is_ascii_digit())
        .count();
    if digits > 0 && rest.get(digits) == Some(&b'/') {
        DOMAINS.len() + digits + 1
    } else {
        0
    }
}

/// The path of the parent; that of the root is the root.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) if slash > 0 => path.get(..slash).unwrap_or(b"/"),
        _ => b"/",
    }
}

/// The last part of a path.
pub(crate) fn base(path: &[u8]) -> &[u8] {
    let start = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    path.get(start..).unwrap_or(&[])
}

/// Whether `path` is `top` or lies below it, at most `depth` levels; `same` says whether the front
/// of `path` is `top`, which has `len` bytes.
pub(crate) fn is_within(path: &[u8], len: usize, same: bool, depth: Option<u32>) -> bool {
    if !same {
        return false;
    }
    let rest = path.get(len..).unwrap_or(&[]);
    let root = len == 1;
    match rest.first() {
        None => return true,
        Some(b'/') => {}
        Some(_) if root => {}
        Some(_) => return false,
    }
    let Some(depth) = depth else {
        return true;
    };
    let slashes = rest.iter().filter(|&&byte| byte == b'/').count();
    let levels = slashes + usize::from(root);
    u32::try_from(levels).is_ok_and(|levels| levels <= depth)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_is_a_path() {
        let who = Who::guest(6).unwrap();
        let ok = |name: &[u8]| canonical(who, name, false).map(|path| path.to_vec());
        assert_eq!(
            ok(b"device/vbd"),
            Ok(b"/local/domain/7/device/vbd".to_vec())
        );
        assert_eq!(ok(b"/"), Ok(b"/".to_vec()));
        assert_eq!(ok(b"/vm/a-b_c@D9"), Ok(b"/vm/a-b_c@D9".to_vec()));
        for bad in [
            &b""[..],
            b"/a/",
            b"a/",
            b"//",
            b"a//b",
            b"a.b",
            b"a b",
            b"@releaseDomain",
            b"a\xff",
        ] {
            assert_eq!(ok(bad), Err(Errno::Einval), "{bad:?}");
        }
        assert!(canonical(who, b"@releaseDomain", true).is_ok());
    }

    #[test]
    fn how_long_a_path_may_be() {
        let who = Who::guest(0).unwrap();
        let long = |prefix: &[u8], count: usize| -> Vec<u8> {
            let rest = std::iter::repeat_n(b'x', count);
            prefix.iter().copied().chain(rest).collect()
        };
        let ok = |name: &[u8]| canonical(who, name, false).is_ok();
        assert!(ok(&long(b"", 2047)) && !ok(&long(b"", 2048)));
        assert!(ok(&long(b"/", 2046)) && !ok(&long(b"/", 2047)));
        assert!(ok(&long(b"/local/domain/12345/", 2047)));
        assert!(!ok(&long(b"/local/domain/12345/", 2048)));
        assert!(!ok(&long(b"/local/domain/123456/", 2047)));
    }

    #[test]
    fn what_belongs_to_a_device() {
        let who = Who::guest(0).unwrap();
        let of = |path: &'static str| {
            device_of(who, path.as_bytes()).map(|dir| std::str::from_utf8(dir).unwrap())
        };
        let back = "/local/domain/0/backend/vbd/1/51712";
        let front = "/local/domain/1/device/vbd/51712";
        assert_eq!(of(back), Some(back));
        assert_eq!(of(front), Some(front));
        assert_eq!(
            of("/local/domain/0/backend/vbd/1/51712/queue/0"),
            Some(back)
        );
        assert_eq!(of("/local/domain/1/device/vbd/51712/state"), Some(front));
        for other in [
            "/",
            "/local/domain/1",
            "/local/domain/1/device/vbd",
            "/local/domain/1/devices/vbd/1",
            "/local/domain/2/device/vbd/51712/state",
            "/local/domain/11/device/vbd/51712",
            "/local/domain/0/backend/vbd/1",
            "/local/domain/0/backend/vbd/11/51712",
            "/local/domain/0/backend/vbd/2/1/51712",
            "/local/domain/0/device/vbd/1",
            "/vm/0/device/vbd/1",
            "@releaseDomain",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn parents_and_names() {
        assert_eq!(parent(b"/a/b"), b"/a");
        assert_eq!(parent(b"/a"), b"/");
        assert_eq!(parent(b"/"), b"/");
        assert_eq!(parent(b"@x"), b"/");
        assert_eq!(base(b"/a/bc"), b"bc");
    }

    #[test]
    fn what_lies_within_what() {
        let within = |path: &[u8], top: &[u8], depth| {
            is_within(path, top.len(), path.starts_with(top), depth)
        };
        assert!(within(b"/a/b/c", b"/a", None) && within(b"/a", b"/a", None));
        assert!(!within(b"/ab", b"/a", None) && !within(b"/", b"/a", None));
        assert!(within(b"/a", b"/", None) && within(b"/a", b"/", Some(1)));
        assert!(!within(b"/a", b"/", Some(0)) && within(b"/", b"/", Some(0)));
        assert!(within(b"/a/b", b"/a", Some(1)) && !within(b"/a/b/c", b"/a", Some(1)));
        assert!(within(b"/a/b/c", b"/a", Some(2)) && !within(b"/a/b", b"/a", Some(0)));
    }
}
