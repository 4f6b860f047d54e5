//! The declaration of a server's requests.

/// Declares the requests of a server as an enum, and how they are written and read.
///
/// Each variant begins with its label and its [`Repeat`](crate::Repeat); a field may have a range
/// behind `where`, of which nothing else is read. Beside the enum there are:
///
/// - `OPERATIONS`, a row for each request;
/// - `label()` and `repeat()`;
/// - `write(&self, &mut [u64]) -> Message`, which needs room for all its words;
/// - `read(Message) -> Option<Self>`, `None` for an unknown label, a wrong length or a word out of
///   range.
#[macro_export]
macro_rules! requests {
    (
        $(#[$meta:meta])*
        $vis:vis enum $Request:ident {
            $(
                $(#[$doc:meta])*
                $label:literal $repeat:ident $Name:ident $({
                    $( $(#[$field_doc:meta])* $field:ident : $ty:ty $(where $range:expr)? ),* $(,)?
                })?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $Request {
            $(
                $(#[$doc])*
                $Name $({ $( $(#[$field_doc])* $field: $ty ),* })?
            ),*
        }

        impl $Request {
            /// All requests: label, name, and whether they may be repeated.
            #[allow(dead_code, reason = "for tests and tools")]
            $vis const OPERATIONS: &'static [$crate::Operation] = &[
                $( $crate::Operation {
                    label: $label,
                    name: ::core::stringify!($Name),
                    repeat: $crate::Repeat::$repeat,
                } ),*
            ];

            /// The operation: the label of the message.
            #[inline]
            $vis const fn label(&self) -> u64 {
                match self {
                    $( Self::$Name $({ $( $field: _ ),* })? => $label ),*
                }
            }

            /// Whether it may be repeated.
            #[allow(dead_code, reason = "for tests and tools")]
            $vis const fn repeat(&self) -> $crate::Repeat {
                match self {
                    $( Self::$Name $({ $( $field: _ ),* })? => $crate::Repeat::$repeat ),*
                }
            }

            /// Writes the request to `into`, which has room for its words.
            #[inline]
            $vis fn write<'w>(&self, into: &'w mut [u64]) -> $crate::Message<'w> {
                #[allow(unused_mut, reason = "there may be no fields")]
                let mut writer = $crate::Writer::new(into);
                match self {
                    $( Self::$Name $({ $($field),* })? => { $( $( $crate::Field::put($field, &mut writer); )* )? } ),*
                }
                $crate::Message { label: self.label(), words: writer.written() }
            }

            /// Reads a message that anybody may have sent; `None` for an unknown label, a wrong
            /// length or a word out of range.
            #[inline]
            $vis fn read(message: $crate::Message<'_>) -> ::core::option::Option<Self> {
                #[allow(unused_mut, reason = "there may be no fields")]
                let mut reader = $crate::Reader::new(message.words);
                let request = match message.label {
                    $( $label => Self::$Name $({ $(
                        $field: reader.field::<$ty>()$(.filter(|value| ($range).contains(value)))??
                    ),* })?, )*
                    _ => return ::core::option::Option::None,
                };
                reader.is_empty().then_some(request)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::{Message, Operation, Repeat};

    requests! {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Request {
            1 Idempotent Nothing,
            3 Once Some {
                at: u64,
                count: u32 where 1..=16,
            },
            7 Continues Tail {
                again: bool,
                pair: Option<(u8, u64)>,
            },
        }
    }

    #[test]
    fn requests_travel() {
        let mut words = [0; 4];
        for (request, label, sent) in [
            (Request::Nothing, 1, &[][..]),
            (
                Request::Some {
                    at: u64::MAX,
                    count: 16,
                },
                3,
                &[u64::MAX, 16],
            ),
            (
                Request::Tail {
                    again: true,
                    pair: None,
                },
                7,
                &[1],
            ),
            (
                Request::Tail {
                    again: false,
                    pair: Some((255, 9)),
                },
                7,
                &[0, 255, 9],
            ),
        ] {
            let message = request.write(&mut words);
            assert_eq!((message.label, message.words), (label, sent));
            assert_eq!(message.label, request.label());
            assert_eq!(Request::read(message), Some(request));
        }
    }

    #[test]
    fn rubbish_does_not() {
        let wild: [(u64, &[u64]); 11] = [
            (0, &[]),
            (2, &[]),
            (1, &[0]),
            (3, &[1]),
            (3, &[1, 0]),
            (3, &[1, 17]),
            (3, &[1, 1 << 32]),
            (3, &[1, 1, 1]),
            (7, &[]),
            (7, &[2]),
            (7, &[1, 256, 0]),
        ];
        for (label, words) in wild {
            assert_eq!(
                Request::read(Message { label, words }),
                None,
                "{label} {words:?}"
            );
        }
        // A pair is whole or not there.
        let words = &[1, 1];
        assert_eq!(Request::read(Message { label: 7, words }), None);
    }

    #[test]
    fn each_says_whether_it_may_be_repeated() {
        assert_eq!(
            Request::OPERATIONS,
            [
                Operation {
                    label: 1,
                    name: "Nothing",
                    repeat: Repeat::Idempotent
                },
                Operation {
                    label: 3,
                    name: "Some",
                    repeat: Repeat::Once
                },
                Operation {
                    label: 7,
                    name: "Tail",
                    repeat: Repeat::Continues
                },
            ]
        );
        assert_eq!(Request::Nothing.repeat(), Repeat::Idempotent);
    }

    #[test]
    fn what_has_no_room_is_dropped() {
        let some = Request::Some { at: 1, count: 2 };
        assert_eq!(some.write(&mut [0; 1]).words, [1]);
        assert_eq!(Message::put(&mut [0; 1], 0, &[1, 2]).words, []);
    }
}
