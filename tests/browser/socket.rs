//! As much of a WebSocket client as DevTools on this machine needs: text both ways.
//!
//! A crate for it would switch on features of crates that burn uses, and all of burn would be
//! compiled twice, for the tests and for the rest.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

const TEXT: u8 = 0x1;
const CONTINUED: u8 = 0x0;
/// The highest bit of a frame's first byte marks a message's last frame.
const LAST: u8 = 0x80;
/// The highest bit of a frame's second byte says that a mask follows.
const MASKED: u8 = 0x80;
/// A client must mask, against caches in between, of which there are none: any mask will do, but
/// Firefox refuses that of zeros.
const MASK: [u8; 4] = [1, 2, 3, 4];

pub struct Socket {
    stream: BufReader<TcpStream>,
}

impl Socket {
    /// Connect to `ws://127.0.0.1:PORT/PATH`; reads fail after `patience`.
    pub fn connect(port: u16, path: &str, patience: Duration) -> Result<Socket> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        // The key is for caches in between, of which there are none: any will do.
        write!(
            stream.get_mut(),
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )?;
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            if stream.read_line(&mut answer)? == 0 {
                break;
            }
        }
        if answer.starts_with("HTTP/1.1 101") {
            Ok(Socket { stream })
        } else {
            Err(Error::other(format!("no WebSocket there: {answer}")))
        }
    }

    pub fn send(&mut self, text: &str) -> Result<()> {
        let length = text.len();
        let mut frame = vec![LAST | TEXT];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => frame.push(MASKED | short),
            (_, Ok(long)) => {
                frame.push(MASKED | 126);
                frame.extend(long.to_be_bytes());
            }
            _ => {
                frame.push(MASKED | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(
            text.bytes()
                .zip(MASK.into_iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        self.stream.get_mut().write_all(&frame)
    }

    /// The next text message.
    pub fn receive(&mut self) -> Result<String> {
        let mut message = Vec::new();
        loop {
            let [first, second] = self.bytes()?;
            let length = match second {
                126 => u16::from_be_bytes(self.bytes()?).into(),
                127 => u64::from_be_bytes(self.bytes()?),
                short => short.into(),
            };
            let mut payload = Vec::new();
            (&mut self.stream).take(length).read_to_end(&mut payload)?;
            match first & 0xf {
                TEXT | CONTINUED => message.extend(payload),
                kind => return Err(Error::other(format!("a frame of kind {kind}, not text"))),
            }
            if first & LAST != 0 {
                return String::from_utf8(message).map_err(Error::other);
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
