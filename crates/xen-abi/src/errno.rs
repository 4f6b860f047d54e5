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
    /// All of them, by number.
    pub const ALL: &'static [Self] = &[
        Self::Eperm,
        Self::Enoent,
        Self::Esrch,
        Self::Eio,
        Self::Enxio,
        Self::E2big,
        Self::Eagain,
        Self::Enomem,
        Self::Eacces,
        Self::Efault,
        Self::Ebusy,
        Self::Eexist,
        Self::Enodev,
        Self::Einval,
        Self::Enospc,
        Self::Edom,
        Self::Erange,
        Self::Enosys,
        Self::Enodata,
        Self::Etime,
        Self::Eoverflow,
        Self::Eilseq,
        Self::Eopnotsupp,
        Self::Enobufs,
    ];

    /// Its name in C.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eperm => "EPERM",
            Self::Enoent => "ENOENT",
            Self::Esrch => "ESRCH",
            Self::Eio => "EIO",
            Self::Enxio => "ENXIO",
            Self::E2big => "E2BIG",
            Self::Eagain => "EAGAIN",
            Self::Enomem => "ENOMEM",
            Self::Eacces => "EACCES",
            Self::Efault => "EFAULT",
            Self::Ebusy => "EBUSY",
            Self::Eexist => "EEXIST",
            Self::Enodev => "ENODEV",
            Self::Einval => "EINVAL",
            Self::Enospc => "ENOSPC",
            Self::Edom => "EDOM",
            Self::Erange => "ERANGE",
            Self::Enosys => "ENOSYS",
            Self::Enodata => "ENODATA",
            Self::Etime => "ETIME",
            Self::Eoverflow => "EOVERFLOW",
            Self::Eilseq => "EILSEQ",
            Self::Eopnotsupp => "EOPNOTSUPP",
            Self::Enobufs => "ENOBUFS",
        }
    }

    /// What it says, and what it says of a hypercall; the second may be empty.
    #[rustfmt::skip]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Eperm => ("Operation not permitted", "not for this domain, or not from a guest at all"),
            Self::Enoent => ("No such file or directory", "what is asked for is not there"),
            Self::Esrch => ("No such domain", "the domain id is of no domain; DOMID_SELF is 0x7ff0"),
            Self::Eio => ("I/O error", ""),
            Self::Enxio => ("No such device or address", ""),
            Self::E2big => ("Argument list too long", "a count is larger than the hypervisor takes at once"),
            Self::Eagain => ("Try again", "it was preempted or is busy; the same call will do"),
            Self::Enomem => ("Out of memory", "the host's memory or the domain's quota is used up"),
            Self::Eacces => ("Permission denied", "for a privileged domain, which guests are not"),
            Self::Efault => ("Bad address", "a pointer among the arguments is of no RAM of the guest, or not mapped"),
            Self::Ebusy => ("Device or resource busy", "somebody uses it"),
            Self::Eexist => ("Exists already", "it was done before and is done once"),
            Self::Enodev => ("No such device", ""),
            Self::Einval => ("Invalid argument", "a number or combination of arguments that makes no sense"),
            Self::Enospc => ("No space left", "a table is full"),
            Self::Edom => ("Argument out of domain of function", ""),
            Self::Erange => ("Result not representable", "a number is outside its range"),
            Self::Enosys => ("Operation not implemented", "the hypercall or the operation does not exist here; guests fall back to something else"),
            Self::Enodata => ("No data available", ""),
            Self::Etime => ("Timer expired", ""),
            Self::Eoverflow => ("Value too large for its type", ""),
            Self::Eilseq => ("Illegal byte sequence", ""),
            Self::Eopnotsupp => ("Operation not supported", "the hypercall exists, but not this form of it"),
            Self::Enobufs => ("No buffer space available", "the answer is longer than the buffer"),
        }
    }

    /// The result of a hypercall that fails with this error: negative.
    pub const fn as_i64(self) -> i64 {
        -(self as i32 as i64)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn all_are_there_once_by_number() {
        assert!(
            Errno::ALL
                .windows(2)
                .all(|pair| (pair[0] as i32) < pair[1] as i32)
        );
        for errno in Errno::ALL {
            let name = std::format!("{errno:?}").to_uppercase();
            assert_eq!(name, errno.name());
        }
    }

    #[test]
    fn results_are_negative() {
        assert_eq!(Errno::Eperm.as_i64(), -1);
        assert_eq!(Errno::Enosys.as_i64(), -38);
        assert_eq!(Errno::Enobufs.as_i64(), -105);
    }
}
