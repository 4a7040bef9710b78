//! HTTP/1.1 answers written by hand: a library would not lie.

use std::time::Duration;

/// What a scripted endpoint sends back to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) delivery: Delivery,
}

/// How the bytes reach the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delivery {
    /// Head and body, then the TLS connection ends properly.
    Whole,
    /// Head and body, then the TCP connection ends without TLS saying so.
    CutOff,
    /// Head and body, then nothing, with the connection open.
    Stall,
    /// The head, then the body byte by byte.
    Drip(Duration),
    /// The head, then the body again and again as chunks without end.
    Endless,
    /// Nothing, with the connection open.
    Silent,
    /// Nothing until the script changes, and then what it says.
    Held,
}

impl Answer {
    /// 200 with this body.
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body)
    }

    /// Any status with this body and a true Content-Length.
    pub(crate) fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::bare(status).with_body(body.clone()).header("Content-Length", &body.len().to_string())
    }

    /// A head without any header; the connection's end is the end of the body.
    pub(crate) fn bare(status: u16) -> Self {
        let head = format!("HTTP/1.1 {status} Scripted\r\n").into_bytes();
        Self { head, body: Vec::new(), delivery: Delivery::Whole }
    }

    /// Exactly these bytes.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { head: Vec::new(), body: bytes.into(), delivery: Delivery::Whole }
    }

    /// A redirect.
    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::status(status, "").header("Location", location)
    }

    /// A body that promises more bytes than it has.
    pub(crate) fn truncated(body: impl Into<Vec<u8>>, promised: usize) -> Self {
        Self::bare(200).with_body(body).header("Content-Length", &promised.to_string())
    }

    /// A chunked body without end.
    pub(crate) fn endless() -> Self {
        Self::bare(200).with_body(vec![b' '; 8192]).header("Transfer-Encoding", "chunked").by(Delivery::Endless)
    }

    /// Waits for ever.
    pub(crate) fn silent() -> Self {
        Self::bare(200).by(Delivery::Silent)
    }

    /// Waits until the script changes.
    pub(crate) fn held() -> Self {
        Self::bare(200).by(Delivery::Held)
    }

    /// Nothing new, after a wait or what is said to have been one.
    pub(crate) fn nothing_new() -> Self {
        Self::status(304, "").header("Preference-Applied", "wait")
    }

    /// A body under gzip, uncompressed inside.
    pub(crate) fn gzip(body: &[u8]) -> Self {
        Self::status(200, gzip_stored(body)).header("Content-Encoding", "gzip")
    }

    /// About `bytes` zero bytes under gzip, a 158th of that on the wire.
    pub(crate) fn gzip_bomb(bytes: usize) -> Self {
        Self::status(200, gzip_zeros(bytes)).header("Content-Encoding", "gzip")
    }

    /// One more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        self
    }

    /// Another body; headers stay.
    pub(crate) fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Another delivery.
    pub(crate) fn by(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }
}

/// Gzip with one stored block (RFC 1951 §3.2.4), up to 65535 bytes.
fn gzip_stored(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let block = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), body].concat();
    let trailer = [crc32(body).to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [&GZIP_HEADER[..], &block, &trailer].concat()
}

/// Gzip with one block of fixed codes (RFC 1951 §3.2.6): a zero, then "repeat it 258 times" for ever.
/// Its checksum is wrong; nobody should get that far.
fn gzip_zeros(bytes: usize) -> Vec<u8> {
    let literal_zero = "00110000";
    let repeat = "1100010100000";
    let bits = format!("110{literal_zero}{}0000000", repeat.repeat(bytes / 258));
    let block: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| byte.iter().rev().fold(0, |value, bit| value << 1 | u8::from(*bit == b'1')))
        .collect();
    [&GZIP_HEADER[..], &block, &[0; 8]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
