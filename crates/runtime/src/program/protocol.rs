//! What the runtime and its guard say to each other: frames on a Unix stream socket.
//!
//! A frame is its body's length (4 bytes, little-endian) and its body: one byte for the kind, then the fields.
//! A number is little-endian; a text is its length (4 bytes) and its bytes. The descriptors of a
//! [`Request::Start`] travel with its first byte (SCM_RIGHTS), so they have arrived when the frame has.
//!
//! Invariants: no input makes a decoder panic or take more memory than the input is long; a frame that is not
//! understood ends the connection, since both ends are the same binary and only a fault can cause it.

use std::io;

/// The longest body: above the largest argument list and environment that Linux takes (6 MiB).
pub(super) const FRAME_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What the runtime asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// Start a program. With it come the descriptors for stdin (if `stdin`), stdout (if `stdout`) and stderr.
    Start(Box<Start>),
    /// Signal a run: SIGTERM to its group, or SIGKILL (`hard`). One that waits behind another is not begun.
    Stop { run: u64, hard: bool },
    /// Do not begin a run that waits behind another. One that has begun goes on.
    Withdraw { run: u64 },
    /// Begin a run that waits behind another at once.
    Begin { run: u64 },
}

/// A program to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// The run's number, from the runtime; they rise.
    pub run: u64,
    /// Begin when this run has ended; 0 for at once, as where that run has ended already.
    pub after: u64,
    /// The value of `HANDOVER_RUN`.
    pub tag: Vec<u8>,
    /// Whether a descriptor for stdin comes with it.
    pub stdin: bool,
    /// Whether a descriptor for stdout comes with it.
    pub stdout: bool,
    /// The folder to run in, absolute.
    pub cwd: Vec<u8>,
    /// The executable, absolute.
    pub path: Vec<u8>,
    /// The program's name as it was written, and its arguments.
    pub words: Vec<Vec<u8>>,
    /// Variables beyond the guard's own.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How a process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// With this exit code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// What the guard answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// The guard is up.
    Ready,
    /// The program could not be started: the system's error number; ECANCELED where it was not to be.
    Refused { run: u64, errno: i32 },
    /// The run's tree is gone, but for `left` processes that we have no right to kill. `stopped` says that a
    /// [`Request::Stop`] reached the program before it ended.
    Ended { run: u64, death: Death, stopped: bool, left: u32 },
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn framed(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 4];
    write(&mut out);
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

impl Request {
    /// The request as a frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        framed(|out| match self {
            Request::Start(start) => {
                out.push(1);
                out.extend_from_slice(&start.run.to_le_bytes());
                out.extend_from_slice(&start.after.to_le_bytes());
                out.push(u8::from(start.stdin) | u8::from(start.stdout) << 1);
                for text in [&start.tag, &start.cwd, &start.path] {
                    put_text(out, text);
                }
                put_count(out, start.words.len());
                start.words.iter().for_each(|word| put_text(out, word));
                put_count(out, start.env.len());
                for (name, value) in &start.env {
                    put_text(out, name);
                    put_text(out, value);
                }
            }
            Request::Stop { run, hard } => {
                out.push(2);
                out.extend_from_slice(&run.to_le_bytes());
                out.push(u8::from(*hard));
            }
            Request::Withdraw { run } => {
                out.push(3);
                out.extend_from_slice(&run.to_le_bytes());
            }
            Request::Begin { run } => {
                out.push(4);
                out.extend_from_slice(&run.to_le_bytes());
            }
        })
    }

    /// The request of a frame's body.
    pub(super) fn decode(body: &[u8]) -> io::Result<Self> {
        let mut input = Body(body);
        let request = match input.byte()? {
            1 => {
                let (run, after) = (input.number()?, input.number()?);
                let flags = input.byte()?;
                let (tag, cwd, path) = (input.text()?, input.text()?, input.text()?);
                let words = (0..input.count()?).map(|_| input.text()).collect::<io::Result<_>>()?;
                let env = (0..input.count()?)
                    .map(|_| Ok((input.text()?, input.text()?)))
                    .collect::<io::Result<_>>()?;
                let (stdin, stdout) = (flags & 1 != 0, flags & 2 != 0);
                Request::Start(Box::new(Start { run, after, tag, stdin, stdout, cwd, path, words, env }))
            }
            2 => Request::Stop { run: input.number()?, hard: input.byte()? != 0 },
            3 => Request::Withdraw { run: input.number()? },
            4 => Request::Begin { run: input.number()? },
            _ => return Err(malformed()),
        };
        input.end(request)
    }
}

impl Reply {
    /// The run that it is about, which is over.
    pub(super) fn run(self) -> Option<u64> {
        match self {
            Reply::Ready => None,
            Reply::Refused { run, .. } | Reply::Ended { run, .. } => Some(run),
        }
    }

    /// The reply as a frame.
    pub(super) fn encode(self) -> Vec<u8> {
        framed(|out| match self {
            Reply::Ready => out.push(1),
            Reply::Refused { run, errno } => {
                out.push(2);
                out.extend_from_slice(&run.to_le_bytes());
                out.extend_from_slice(&errno.to_le_bytes());
            }
            Reply::Ended { run, death, stopped, left } => {
                let (kind, code) = match death {
                    Death::Exit(code) => (0u8, code),
                    Death::Signal(signal) => (1u8, signal),
                };
                out.push(3);
                out.extend_from_slice(&run.to_le_bytes());
                out.extend_from_slice(&[kind, u8::from(stopped)]);
                out.extend_from_slice(&code.to_le_bytes());
                out.extend_from_slice(&left.to_le_bytes());
            }
        })
    }

    /// The reply of a frame's body.
    pub(super) fn decode(body: &[u8]) -> io::Result<Self> {
        let mut input = Body(body);
        let reply = match input.byte()? {
            1 => Reply::Ready,
            2 => Reply::Refused { run: input.number()?, errno: input.int()? },
            3 => {
                let (run, kind, stopped, code) =
                    (input.number()?, input.byte()?, input.byte()? != 0, input.int()?);
                let death = if kind == 0 { Death::Exit(code) } else { Death::Signal(code) };
                Reply::Ended { run, death, stopped, left: u32::from_le_bytes(input.take()?) }
            }
            _ => return Err(malformed()),
        };
        input.end(reply)
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a frame that is not understood")
}

/// What is left of a frame's body.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> io::Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn int(&mut self) -> io::Result<i32> {
        self.take().map(i32::from_le_bytes)
    }

    /// A number of items that follow; each has four bytes at least, so it is never more than the body can hold.
    fn count(&mut self) -> io::Result<usize> {
        let count = usize::try_from(u32::from_le_bytes(self.take()?)).map_err(|_| malformed())?;
        if count > self.0.len() / 4 { Err(malformed()) } else { Ok(count) }
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(u32::from_le_bytes(self.take()?)).map_err(|_| malformed())?;
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(head.to_vec())
    }

    fn end<T>(self, value: T) -> io::Result<T> {
        if self.0.is_empty() { Ok(value) } else { Err(malformed()) }
    }
}

/// Puts bytes together to frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    done: usize,
}

impl Frames {
    /// Adds what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.done > 0 {
            self.bytes.drain(..self.done);
            self.done = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame's body, decoded; none if more bytes are needed.
    pub(super) fn next<T>(&mut self, decode: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<Option<T>> {
        let Some((head, rest)) = self.bytes[self.done..].split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*head)).map_err(|_| malformed())?;
        if length > FRAME_MAX_BYTES {
            return Err(malformed());
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let value = decode(body)?;
        self.done += 4 + length;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn start() -> Start {
        Start {
            run: 7,
            after: 6,
            tag: b"abc-7".to_vec(),
            stdin: true,
            stdout: false,
            cwd: b"/".to_vec(),
            path: b"/bin/\xff".to_vec(),
            words: vec![b"cat".to_vec(), Vec::new()],
            env: vec![(b"A".to_vec(), b"b\n".to_vec())],
        }
    }

    #[test]
    fn what_is_said_is_heard_however_it_is_cut() {
        let requests = [
            Request::Start(Box::new(start())),
            Request::Stop { run: u64::MAX, hard: true },
            Request::Withdraw { run: 3 },
            Request::Begin { run: 4 },
            Request::Start(Box::default()),
        ];
        let bytes: Vec<u8> = requests.iter().flat_map(Request::encode).collect();
        for size in [1, 3, bytes.len()] {
            let mut frames = Frames::default();
            let mut heard = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(request) = frames.next(Request::decode).unwrap() {
                    heard.push(request);
                }
            }
            assert_eq!(heard, requests);
        }
    }

    #[test]
    fn replies_are_heard() {
        for reply in [
            Reply::Ready,
            Reply::Refused { run: 1, errno: 2 },
            Reply::Ended { run: 1, death: Death::Exit(75), stopped: false, left: 0 },
            Reply::Ended { run: 1, death: Death::Signal(9), stopped: true, left: 3 },
        ] {
            assert_eq!(Reply::decode(&reply.encode()[4..]).unwrap(), reply);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(&bytes);
            let _ = Reply::decode(&bytes);
            let mut frames = Frames::default();
            frames.push(&bytes);
            while let Ok(Some(_)) = frames.next(Request::decode) {}
        }

        #[test]
        fn a_damaged_request_is_an_error_or_another_request(at in 0usize..40, byte: u8) {
            let mut bytes = Request::Start(Box::new(start())).encode();
            let length = bytes.len();
            bytes[4 + at % (length - 4)] = byte;
            let _ = Request::decode(&bytes[4..]);
        }
    }
}
