//! The `:authority` of requests over Unix sockets, made one that our HTTP/2 library reads.
//!
//! There is no host, so gRPC in C++ (and with it Python) sends the socket's path in its place with `%2F` in it, and gRPC in
//! Java as it is. The library refuses both as no authority, with the whole request. Nobody here reads it, so `/` and `%`
//! become `-` on the way, which leaves every length as it was, and with them HPACK's table (RFC 7541).

/// Passes the bytes of one connection as they are read, in pieces of any size.
#[derive(Debug)]
pub(super) struct AuthorityMender {
    frame: Frame,
    field: Field,
}

#[derive(Debug)]
enum Frame {
    /// Bytes left of the preface.
    Preface(usize),
    /// Of the frame's header, so many bytes.
    Header([u8; 9], usize),
    Payload(Payload),
}

/// What is left of a frame's payload, in bytes and in this order (RFC 9113 §6.2).
#[derive(Debug, Default)]
struct Payload {
    pad_length: usize,
    skipped: usize,
    fields: usize,
    padding: usize,
}

/// Where in a field block the next byte is (RFC 7541 §6).
#[derive(Clone, Copy, Debug)]
enum Field {
    Begin(Begin),
    /// The rest of an integer, before this.
    Integer(Begin),
    /// The rest of a text's length, and how far its next seven bits are shifted.
    Length(Text, u32),
    Text(Text),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Field,
    Name,
    Value { is_authority: bool },
}

#[derive(Clone, Copy, Debug)]
struct Text {
    of: Begin,
    left: usize,
    is_huffman: bool,
    /// How much of [`NAME`] a name has repeated so far; `None` if it is another.
    matched: Option<usize>,
}

impl AuthorityMender {
    pub(super) fn new() -> Self {
        Self { frame: Frame::Preface(PREFACE_BYTES), field: Field::Begin(Begin::Field) }
    }

    pub(super) fn mend(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            match self.skip(bytes.len() - at) {
                0 => {
                    self.pass(&mut bytes[at]);
                    at += 1;
                }
                skipped => at += skipped,
            }
        }
    }

    /// Passes what holds no fields, at once: a flood of it costs no more than reading it. Never the last byte of a frame.
    fn skip(&mut self, at_most: usize) -> usize {
        let Frame::Payload(Payload { pad_length: 0, skipped: left @ 2.., .. }) = &mut self.frame else { return 0 };
        let skipped = at_most.min(*left - 1);
        *left -= skipped;
        skipped
    }

    fn pass(&mut self, byte: &mut u8) {
        match &mut self.frame {
            Frame::Preface(left) if *left > 1 => *left -= 1,
            Frame::Preface(_) => self.frame = Frame::HEADER,
            Frame::Header(header, filled) => {
                header[*filled] = *byte;
                *filled += 1;
                if *filled == header.len() {
                    let header = *header;
                    self.begin(&header);
                }
            }
            Frame::Payload(payload) => {
                if payload.is_in_fields(*byte) {
                    self.field.pass(byte);
                }
                if payload.is_over() {
                    self.frame = Frame::HEADER;
                }
            }
        }
    }

    fn begin(&mut self, header: &[u8; 9]) {
        let [a, b, c, kind, flags, ..] = *header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let payload = match kind {
            HEADERS => {
                self.field = Field::Begin(Begin::Field);
                let pad_length = usize::from(flags & PADDED != 0);
                let skipped = if flags & PRIORITY != 0 { 5 } else { 0 };
                Payload { pad_length, skipped, fields: length.saturating_sub(pad_length + skipped), padding: 0 }
            }
            CONTINUATION => Payload { fields: length, ..Payload::default() },
            _ => Payload { skipped: length, ..Payload::default() },
        };
        self.frame = if payload.is_over() { Frame::HEADER } else { Frame::Payload(payload) };
    }
}

impl Frame {
    const HEADER: Self = Self::Header([0; 9], 0);
}

impl Payload {
    /// Whether this byte, the next one, is of the fields.
    fn is_in_fields(&mut self, byte: u8) -> bool {
        let is_in_fields = self.pad_length == 0 && self.skipped == 0 && self.fields > 0;
        match self {
            Self { pad_length: left @ 1.., .. } => {
                *left = 0;
                self.padding = self.fields.min(byte.into());
                self.fields -= self.padding;
            }
            Self { skipped: left @ 1.., .. } | Self { fields: left @ 1.., .. } | Self { padding: left, .. } => {
                *left = left.saturating_sub(1);
            }
        }
        is_in_fields
    }

    fn is_over(&self) -> bool {
        self.pad_length + self.skipped + self.fields + self.padding == 0
    }
}

impl Field {
    fn pass(&mut self, byte: &mut u8) {
        *self = match *self {
            Self::Begin(Begin::Field) => Self::representation(*byte),
            Self::Begin(of) => {
                let (left, is_huffman) = (usize::from(*byte & 0x7f), *byte & 0x80 != 0);
                let text = Text { of, left, is_huffman, matched: Some(0).filter(|_| !is_huffman) };
                if text.left == 0x7f { Self::Length(text, 0) } else { text.or_after() }
            }
            Self::Integer(before) if *byte & 0x80 == 0 => Self::Begin(before),
            Self::Integer(before) => Self::Integer(before),
            Self::Length(mut text, shift) => {
                text.left = text.left.saturating_add(usize::from(*byte & 0x7f) << shift.min(LONGEST_SHIFT));
                if *byte & 0x80 == 0 { text.or_after() } else { Self::Length(text, shift.saturating_add(7)) }
            }
            Self::Text(mut text) => {
                let is_authority = text.of == Begin::Value { is_authority: true };
                if is_authority && !text.is_huffman && matches!(byte, b'/' | b'%') {
                    *byte = b'-';
                }
                text.left -= 1;
                text.matched = text.matched.filter(|at| NAME.get(*at) == Some(&*byte)).map(|at| at + 1);
                text.or_after()
            }
        }
    }

    fn representation(byte: u8) -> Self {
        let (prefix, is_literal) = match byte {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        let index = byte & prefix;
        let next = match (is_literal, index) {
            (false, _) => Begin::Field,
            (true, 0) => Begin::Name,
            (true, index) => Begin::Value { is_authority: index == AUTHORITY },
        };
        if index == prefix { Self::Integer(next) } else { Self::Begin(next) }
    }
}

impl Text {
    /// It goes on, or what follows it begins.
    fn or_after(self) -> Field {
        match self {
            Self { left: 1.., .. } => Field::Text(self),
            Self { of: Begin::Name, matched, .. } => {
                Field::Begin(Begin::Value { is_authority: matched == Some(NAME.len()) })
            }
            _ => Field::Begin(Begin::Field),
        }
    }
}

/// What a client of HTTP/2 sends before all else (RFC 9113 §3.4).
pub(super) const PREFACE_BYTES: usize = 24;
/// Types and flags of frames.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// In HPACK's static table, and for gRPC in C++, which spells it out.
const AUTHORITY: u8 = 1;
const NAME: &[u8] = b":authority";
/// A field block has less than 2^28 bytes, or the library refuses it.
const LONGEST_SHIFT: u32 = 28;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frames.concat()].concat()
    }

    fn literal(first: u8, value: &[u8]) -> Vec<u8> {
        [&[first, u8::try_from(value.len()).unwrap()], value].concat()
    }

    fn spelled_out(name: &[u8], value: &[u8]) -> Vec<u8> {
        [vec![0x40], literal(0, name)[1..].to_vec(), literal(0, value)[1..].to_vec()].concat()
    }

    fn mended(bytes: &[u8], pieces: usize) -> Vec<u8> {
        let (mut mender, mut bytes) = (AuthorityMender::new(), bytes.to_vec());
        bytes.chunks_mut(pieces.max(1)).for_each(|piece| mender.mend(piece));
        bytes
    }

    #[test]
    fn paths_in_the_place_of_an_authority_become_readable_and_nothing_else_changes() {
        let path = literal(0x44, b"/a/b%2F");
        let named = spelled_out(b"x/y", b"a/b%");
        let long = [&[0x41, 0x7f, 0x01][..], &[b'/'; 128]].concat();
        let long_mended = [&[0x41, 0x7f, 0x01][..], &[b'-'; 128]].concat();
        let huffman = [&[0x41, 0x80 | 3][..], b"/%/"].concat();
        for (name, block, expected) in [
            ("Java", literal(0x41, b"/run/x.sock"), literal(0x41, b"-run-x.sock")),
            ("C++", spelled_out(b":authority", b"run%2Fx.sock"), spelled_out(b":authority", b"run-2Fx.sock")),
            ("a longer name", spelled_out(b":authority2", b"a/b"), spelled_out(b":authority2", b"a/b")),
            ("a shorter name", spelled_out(b":authorit", b"a/b"), spelled_out(b":authorit", b"a/b")),
            ("not indexed", literal(0x01, b"/a"), literal(0x01, b"-a")),
            ("never indexed", literal(0x11, b"/a"), literal(0x11, b"-a")),
            ("empty", literal(0x41, b""), literal(0x41, b"")),
            ("127 bytes and more", long, long_mended),
            ("by Huffman's code", huffman.clone(), huffman),
            ("another name", named.clone(), named),
        ] {
            let block = [&[0x83, 0x3f, 0x21, 0xff, 0x00][..], &path, &block, &path].concat();
            let expected = [&[0x83, 0x3f, 0x21, 0xff, 0x00][..], &path, &expected, &path].concat();
            let data = frame(0, 0, b"\x41\x02//");
            let padded =
                |block: &[u8]| frame(HEADERS, PADDED | PRIORITY, &[&[2, 0, 0, 0, 0, 9], block, b"//"].concat());
            let split = |block: &[u8]| {
                let (first, second) = block.split_at(block.len() / 2);
                [frame(HEADERS, 0, first), frame(CONTINUATION, 4, second)].concat()
            };
            let all = |block: &[u8]| {
                let settings = frame(4, 0, &[]);
                connection(&[settings, padded(block), data.clone(), split(block), frame(HEADERS, 4, block)])
            };
            assert_eq!(mended(&all(&block), 1_000), all(&expected), "{name}");
            assert_eq!(mended(&all(&block), 1), all(&expected), "{name}, byte by byte");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_pieces_only_slashes_and_percents_are_replaced(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x41), Just(1), Just(0), Just(b'/')], 0..300),
            pieces in 1_usize..40,
        ) {
            let bytes = connection(&[bytes]);
            let in_pieces = mended(&bytes, pieces);
            prop_assert_eq!(&in_pieces, &mended(&bytes, bytes.len()));
            for (before, after) in bytes.iter().zip(&in_pieces) {
                prop_assert!(before == after || (matches!(before, b'/' | b'%') && *after == b'-'));
            }
        }
    }
}
