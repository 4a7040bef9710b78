//! Lines as they come, in bounded memory.

use std::io::{self, BufRead as _, BufReader, Read};

/// Lines of a source, whose ends are line feeds; the last one may have none.
pub(super) struct Lines<R>(BufReader<R>);

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    /// It has more than [`MAX_LINE_BYTES`].
    TooLong,
}

/// Longest line: several times the longest chain in base64.
pub(super) const MAX_LINE_BYTES: usize = 256 << 10;

/// Lines that are answered together, and how many bytes of them.
const MAX_CHUNK: (usize, usize) = (500, 1 << 20);

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self(BufReader::with_capacity(MAX_LINE_BYTES, source))
    }

    /// Waits for a line, and takes those that are there already with it, so that nobody who waits for an answer waits
    /// for more questions. Empty at the end.
    pub(super) fn next_chunk(&mut self) -> io::Result<Vec<Line>> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while let Some(line) = self.next_line()? {
            if let Line::Whole(line) = &line {
                bytes += line.len();
            }
            chunk.push(line);
            if chunk.len() == MAX_CHUNK.0 || bytes >= MAX_CHUNK.1 || !self.0.buffer().contains(&b'\n') {
                break;
            }
        }
        Ok(chunk)
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        let (mut line, mut length) = (Vec::new(), 0);
        loop {
            let there = match self.0.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                there => there?,
            };
            if there.is_empty() {
                return Ok((length > 0).then(|| whole(line, length)));
            }
            let end = there.iter().position(|byte| *byte == b'\n');
            let part = &there[..end.unwrap_or(there.len())];
            length += part.len();
            if length <= MAX_LINE_BYTES {
                line.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(end.is_some());
            self.0.consume(taken);
            if end.is_some() {
                return Ok(Some(whole(line, length)));
            }
        }
    }
}

fn whole(line: Vec<u8>, length: usize) -> Line {
    if length <= MAX_LINE_BYTES { Line::Whole(line) } else { Line::TooLong }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it holds in these parts.
    struct Parts(Vec<Vec<u8>>);

    impl Read for Parts {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let part = &mut self.0[0];
            let length = part.len().min(into.len());
            into[..length].copy_from_slice(&part[..length]);
            part.drain(..length);
            if part.is_empty() {
                self.0.remove(0);
            }
            Ok(length)
        }
    }

    fn chunks(parts: &[&[u8]]) -> Vec<Vec<Line>> {
        let mut lines = Lines::new(Parts(parts.iter().map(|part| part.to_vec()).collect()));
        std::iter::from_fn(|| Some(lines.next_chunk().unwrap()).filter(|chunk| !chunk.is_empty())).collect()
    }

    fn line(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[test]
    fn a_chunk_is_what_is_there() {
        for (name, parts, expected) in [
            ("nothing", &[][..], vec![]),
            ("one", &["a\n"], vec![vec!["a"]]),
            ("no end", &["a"], vec![vec!["a"]]),
            ("three at once, the last later", &["a\nb\nc", "c\n"], vec![vec!["a", "b"], vec!["cc"]]),
            ("one by one", &["a\n", "b\n"], vec![vec!["a"], vec!["b"]]),
            ("empty ones count", &["\n\na\n\n"], vec![vec!["", "", "a", ""]]),
        ] {
            let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
            let expected: Vec<Vec<Line>> =
                expected.iter().map(|chunk| chunk.iter().map(|text| line(text)).collect()).collect();
            assert_eq!(chunks(&parts), expected, "{name}");
        }
    }

    #[test]
    fn a_line_too_long_is_passed_over() {
        let (most, more) = (vec![b'x'; MAX_LINE_BYTES], vec![b'x'; 3 * MAX_LINE_BYTES]);
        let parts = [&more[..], b"\na\n", &most, b"\n", &most, b"x"];
        let lines: Vec<_> = chunks(&parts).concat();
        assert_eq!(lines, [Line::TooLong, line("a"), Line::Whole(most.clone()), Line::TooLong]);
    }

    #[test]
    fn chunks_are_bounded_in_lines_and_bytes() {
        let empty = vec![b'\n'; 1200];
        assert_eq!(chunks(&[&empty]).iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 200]);
    }
}
