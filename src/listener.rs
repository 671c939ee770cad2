//! A name at which other processes ask for a connection.

use std::{
    fmt,
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    time::Duration,
};

use crate::{
    deadline::Deadline,
    error::{Error, ErrorKind, Result},
    message::{self, Message},
    pipe::{Connection, pipe},
    segment,
    sys::{shm, socket},
};

/// A name at which processes of the same user ask for a [`Connection`].
///
/// The name is the kernel's and goes with the listener, however its process ends. Whoever connects is
/// checked by the credentials that the kernel notes: another user gets no connection.
///
/// # Examples
/// ```
/// use commons::{Connection, Listener};
///
/// # fn main() -> commons::Result<()> {
/// let name = format!("doc-listener-{}", std::process::id());
/// let listener = Listener::bind(&name)?;
/// let client = std::thread::spawn(move || -> commons::Result<u32> {
///     let server = Connection::<String, u32>::connect(&name)?;
///     server.send(&"seven".to_string())?;
///     Ok(server.recv()?)
/// });
/// let client_side: Connection<u32, String> = listener.accept()?;
/// let text = client_side.recv()?;
/// client_side.send(&(text.len() as u32))?;
/// assert_eq!(client.join().unwrap()?, 5);
/// # Ok(()) }
/// ```
pub struct Listener {
    socket: UnixListener,
    name: String,
}

/// How long who connects waits for the listener.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long the listener waits for who has connected: less, since others wait for it meanwhile.
const ANSWER: Duration = Duration::from_secs(1);

/// And so long also when its own time is over.
const LEAST_ANSWER: Duration = Duration::from_millis(100);

/// What who has connected says when it has its end.
const THANKS: [u8; 1] = [1];

/// More than a connection takes to describe.
const LONGEST: u32 = 64 << 10;

fn address(name: &str) -> Result<SocketAddr> {
    let invalid = |why: String| Error::new(ErrorKind::InvalidName, why);
    if name.is_empty() || name.contains(['/', '\0']) {
        return Err(invalid(format!(
            "{name:?} is no name for a listener: it must not be empty or hold `/` or NUL"
        )));
    }
    let full = format!("commons.{}.{name}", shm::effective_user());
    SocketAddr::from_abstract_name(&full).map_err(|_| {
        invalid(format!(
            "{name:?} is too long for a listener: {} bytes are the most",
            107 - (full.len() - name.len())
        ))
    })
}

impl Listener {
    /// Listens at this name.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if somebody does, [`ErrorKind::InvalidName`].
    pub fn bind(name: &str) -> Result<Self> {
        let socket = UnixListener::bind_addr(&address(name)?).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                Error::new(ErrorKind::AlreadyExists, format!("a listener at {name:?} exists already"))
            }
            _ => Error::os(format_args!("cannot listen at {name:?}"), error),
        })?;
        let listener = Self { socket, name: name.to_owned() };
        listener.socket.set_nonblocking(true).map_err(|error| listener.os("prepare", error))?;
        Ok(listener)
    }

    /// Waits until somebody connects.
    ///
    /// Whoever breaks off before the connection stands, is silent for a second, or is another user, is
    /// passed over.
    ///
    /// # Errors
    /// When the system has no descriptor or memory left.
    pub fn accept<S: Message, R: Message>(&self) -> Result<Connection<S, R>> {
        loop {
            if let Some(connection) = self.accept_until(Deadline::NEVER)? {
                return Ok(connection);
            }
        }
    }

    /// Takes a connection if somebody waits for one now.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if nobody does; otherwise as [`Listener::accept`].
    pub fn try_accept<S: Message, R: Message>(&self) -> Result<Connection<S, R>> {
        let nobody =
            || Error::new(ErrorKind::WouldBlock, format!("nobody waits for a connection at {:?}", self.name));
        self.accept_until(Deadline::NOW)?.ok_or_else(nobody)
    }

    /// Waits until somebody connects, but no longer than `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; otherwise as [`Listener::accept`].
    pub fn accept_timeout<S: Message, R: Message>(&self, timeout: Duration) -> Result<Connection<S, R>> {
        let late = || {
            Error::new(ErrorKind::TimedOut, format!("nobody connected to {:?} within {timeout:?}", self.name))
        };
        self.accept_until(Deadline::after(timeout))?.ok_or_else(late)
    }

    fn accept_until<S: Message, R: Message>(&self, deadline: Deadline) -> Result<Option<Connection<S, R>>> {
        loop {
            if !socket::wait_readable(&self.socket, deadline).map_err(|error| self.os("wait at", error))? {
                return Ok(None);
            }
            let stream = match self.socket.accept() {
                Ok((stream, _)) => stream,
                // Taken by another thread, or broken off already.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(self.os("accept at", error)),
            };
            if socket::peer_user(&stream).ok() != Some(shm::effective_user()) {
                continue;
            }
            let (near, far) = pipe::<S, R>()?;
            let answer = deadline.remaining().map_or(ANSWER, |left| left.clamp(LEAST_ANSWER, ANSWER));
            if give(&stream, &far, answer).is_ok() {
                return Ok(Some(near));
            }
        }
    }

    fn os(&self, what: &str, error: io::Error) -> Error {
        Error::os(format_args!("cannot {what} the listener {:?}", self.name), error)
    }
}

/// Sends the far end, and waits until the other side has it, which it says in a byte.
fn give<S: Message, R: Message>(
    mut stream: &UnixStream,
    far: &Connection<R, S>,
    patience: Duration,
) -> Result<()> {
    let os = |error| Error::os("cannot hand a connection over", error);
    stream.set_nonblocking(false).map_err(os)?;
    stream.set_write_timeout(Some(patience)).map_err(os)?;
    segment::pinning(|| {
        let bytes = message::encode(far)?;
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        stream.write_all(&[&len[..], &bytes].concat()).map_err(os)?;
        let mut thanks = [0];
        if !socket::wait_readable(stream.as_fd(), Deadline::after(patience)).map_err(os)? {
            return Err(os(io::ErrorKind::TimedOut.into()));
        }
        stream.read_exact(&mut thanks).map_err(os)?;
        if thanks == THANKS { Ok(()) } else { Err(os(io::ErrorKind::InvalidData.into())) }
    })
}

impl<S: Message, R: Message> Connection<S, R> {
    /// Connects to the [`Listener`] of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if nobody listens there, [`ErrorKind::Denied`] if another user does,
    /// [`ErrorKind::Decode`] or [`ErrorKind::Mismatch`] if the connection sends or receives other
    /// types, [`ErrorKind::TimedOut`] if the listener does not accept within 5 s.
    ///
    /// # Examples
    /// See [`Listener`].
    pub fn connect(name: &str) -> Result<Self> {
        let os = |error: io::Error| match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                Error::new(ErrorKind::NotFound, format!("nobody listens at {name:?}"))
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Error::new(ErrorKind::Gone, format!("the listener at {name:?} went away while connecting"))
            }
            _ => Error::os(format_args!("cannot connect to {name:?}"), error),
        };
        let address = address(name)?;
        let stream = loop {
            match UnixStream::connect_addr(&address) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(os)?,
            }
        };
        if socket::peer_user(&stream).map_err(os)? != shm::effective_user() {
            return Err(Error::new(ErrorKind::Denied, format!("{name:?} is listened at by another user")));
        }
        if !socket::wait_readable(stream.as_fd(), Deadline::after(HANDSHAKE)).map_err(os)? {
            let message = format!("the listener at {name:?} did not accept within {HANDSHAKE:?}");
            return Err(Error::new(ErrorKind::TimedOut, message));
        }
        stream.set_read_timeout(Some(HANDSHAKE)).map_err(os)?;
        let mut len = [0; 4];
        (&stream).read_exact(&mut len).map_err(os)?;
        let len = u32::from_le_bytes(len);
        if len > LONGEST {
            return Err(Error::new(
                ErrorKind::Decode,
                format!("{name:?} does not speak as a listener of this crate"),
            ));
        }
        let mut bytes = vec![0; len as usize];
        (&stream).read_exact(&mut bytes).map_err(os)?;
        let connection = message::decode(&bytes)?;
        (&stream).write_all(&THANKS).map_err(os)?;
        Ok(connection)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("name", &self.name).finish()
    }
}
