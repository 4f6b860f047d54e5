//! Error numbers.

/// Error numbers of hypercalls (public/errno.h). A hypercall returns the negative.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum Errno {
    /// Operation not permitted.
    Eperm = 1,
    /// No such file or directory.
    Enoent = 2,
    /// No such domain.
    Esrch = 3,
    /// I/O error.
    Eio = 5,
    /// No such device or address.
    Enxio = 6,
    /// Argument list too long.
    E2big = 7,
    /// Try again.
    Eagain = 11,
    /// Out of memory.
    Enomem = 12,
    /// Permission denied.
    Eacces = 13,
    /// Bad address.
    Efault = 14,
    /// Device or resource busy.
    Ebusy = 16,
    /// Exists already.
    Eexist = 17,
    /// No such device.
    Enodev = 19,
    /// Invalid argument.
    Einval = 22,
    /// No space left.
    Enospc = 28,
    /// Argument out of domain of function.
    Edom = 33,
    /// Result not representable.
    Erange = 34,
    /// Operation not implemented.
    Enosys = 38,
    /// No data available.
    Enodata = 61,
    /// Timer expired.
    Etime = 62,
    /// Value too large for its type.
    Eoverflow = 75,
    /// Illegal byte sequence.
    Eilseq = 84,
    /// Operation not supported.
    Eopnotsupp = 95,
    /// No buffer space available.
    Enobufs = 105,
}

impl Errno {
    /// The result of a hypercall that fails with this error: negative.
    pub const fn as_i64(self) -> i64 {
        -(self as i32 as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_negative() {
        assert_eq!(Errno::Eperm.as_i64(), -1);
        assert_eq!(Errno::Enosys.as_i64(), -38);
        assert_eq!(Errno::Enobufs.as_i64(), -105);
    }
}
