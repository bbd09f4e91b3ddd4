//! [`Deferred`] contexts over scripted sessions.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::mock::{HANDSHAKE, Mock, client, record, server};
use super::pump::{BOUND, sockets, take};
use crate::backend::Context;
use crate::capabilities::Feature;
use crate::client_hello::tests::hello;
use crate::config::{SessionOptions, SocketTransport};
use crate::deferred::{AnyContext, Deferred, DeferredBufferSession, DeferredSocketSession};
use crate::error::{ConfigProblem, Error, ErrorKind, Misuse, Operation, Result};
use crate::iana::AlertDescription;
use crate::session::{BufferSession, Role, Session, SocketSession};
use crate::status::{Progress, Status};
use crate::support::{Descriptor, SocketPump};

/// Contexts of scripted sessions.
#[derive(Debug, Clone, PartialEq)]
enum Script {
    Server,
    Client,
    /// Its sessions leave the descriptor to the engine.
    Plain,
    /// Makes no session.
    Broken,
}

/// The same, of another backend.
#[derive(Debug, Clone)]
struct Other;

impl Script {
    fn session(&self) -> Result<Mock> {
        match self {
            Self::Server | Self::Plain => Ok(server()),
            Self::Client => Ok(client()),
            Self::Broken => Err(Error::new(ErrorKind::Backend, Operation::CreateSession)),
        }
    }
}

impl Context for Script {
    type Buffer = Mock;
    type Socket<'fd> = SocketPump<'fd, Mock>;

    fn role(&self) -> Role {
        match self {
            Self::Client => Role::Client,
            _ => Role::Server,
        }
    }

    fn socket_transport(&self) -> SocketTransport {
        match self {
            Self::Plain => SocketTransport::Plain,
            _ => SocketTransport::Gathered,
        }
    }

    fn buffer_session(&self, _: SessionOptions) -> Result<Mock> {
        self.session()
    }

    fn socket_session(&self, fd: OwnedFd, _: SessionOptions) -> Result<Self::Socket<'static>> {
        SocketPump::new(Descriptor::Owned(fd), self.session()?, BOUND)
    }

    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        _: SessionOptions,
    ) -> Result<Self::Socket<'fd>> {
        SocketPump::new(Descriptor::Borrowed(fd), self.session()?, BOUND)
    }
}

impl Context for Other {
    type Buffer = Mock;
    type Socket<'fd> = SocketPump<'fd, Mock>;

    fn role(&self) -> Role {
        Role::Server
    }

    fn buffer_session(&self, options: SessionOptions) -> Result<Mock> {
        Script::Server.buffer_session(options)
    }

    fn socket_session(
        &self,
        fd: OwnedFd,
        options: SessionOptions,
    ) -> Result<Self::Socket<'static>> {
        Script::Server.socket_session(fd, options)
    }

    fn socket_session_borrowed<'fd>(
        &self,
        fd: BorrowedFd<'fd>,
        options: SessionOptions,
    ) -> Result<Self::Socket<'fd>> {
        Script::Server.socket_session_borrowed(fd, options)
    }
}

fn buffer() -> DeferredBufferSession<Script> {
    let context = Deferred::<Script>::new();
    context.buffer_session(SessionOptions::new()).unwrap()
}

fn socket(fd: impl Into<OwnedFd>) -> DeferredSocketSession<'static, Script> {
    let context = Deferred::<Script>::new();
    context
        .socket_session(fd.into(), SessionOptions::new())
        .unwrap()
}

/// A buffer session that has read a ClientHello.
fn suspended() -> DeferredBufferSession<Script> {
    let mut session = buffer();
    let mut hello = hello();
    let length = hello.len();
    let progress = session.handshake(&mut hello, &mut []).unwrap();
    assert_eq!(
        progress,
        Progress::new(Status::NeedsServerContext, length, 0)
    );
    session
}

fn misuse(result: Result<()>) -> Misuse {
    match result.unwrap_err().kind() {
        ErrorKind::Misuse(misuse) => misuse,
        other => panic!("{other}"),
    }
}

#[test]
fn a_session_waits_for_its_context_and_goes_on_with_it() {
    let mut session = suspended();
    let mut output = [0; 100];
    for input in [&mut [][..], &mut [1, 2, 3]] {
        let progress = session.handshake(input, &mut output).unwrap();
        assert_eq!(progress, Progress::idle(Status::NeedsServerContext));
    }
    let incomplete = ErrorKind::Misuse(Misuse::HandshakeIncomplete);
    let read = session.read(&mut [], &mut [0; 9]).unwrap_err();
    assert_eq!(read.kind(), incomplete);
    assert_eq!(
        session.write(b"x", &mut output).unwrap_err().kind(),
        incomplete
    );
    assert_eq!(
        session.shutdown(&mut output).unwrap_err().kind(),
        incomplete
    );
    let name = session.client_hello().unwrap().server_name();
    assert_eq!(name, Some("a.example"));

    session.set_context(&Script::Server).unwrap();
    let progress = session.handshake(&mut [], &mut output).unwrap();
    assert_eq!(progress.consumed, 0);
    let answer = record(HANDSHAKE, b"hello");
    assert_eq!(output[..progress.produced], answer);
    let mut finish = record(HANDSHAKE, b"finish");
    let progress = session.handshake(&mut finish, &mut output).unwrap();
    assert_eq!(progress.status, Status::Complete);
    assert_eq!(progress.consumed, finish.len());
    assert!(session.is_handshake_complete());
    assert!(session.client_hello().is_some());
}

#[test]
fn hello_and_finish_one_byte_at_a_time() {
    let mut session = buffer();
    for byte in hello() {
        let status = session.handshake(&mut [byte], &mut []).unwrap().status;
        if status == Status::NeedsServerContext {
            session.set_context(&Script::Server).unwrap();
        }
    }
    let mut answer: Vec<u8> = Vec::new();
    while answer.len() < record(HANDSHAKE, b"hello").len() {
        let mut byte = [0];
        let progress = session.handshake(&mut [], &mut byte).unwrap();
        answer.extend(&byte[..progress.produced]);
    }
    let mut last = Status::WantRead;
    for byte in record(HANDSHAKE, b"finish") {
        assert_eq!(last, Status::WantRead);
        last = session.handshake(&mut [byte], &mut []).unwrap().status;
    }
    assert_eq!(last, Status::Complete);
}

#[test]
fn only_a_server_context_of_the_backend_and_only_when_asked() {
    let mut early = buffer();
    assert_eq!(
        misuse(early.set_context(&Script::Server)),
        Misuse::NotSuspended
    );
    let mut session = suspended();
    assert_eq!(
        misuse(session.set_context(&Script::Client)),
        Misuse::WrongRole
    );
    assert_eq!(misuse(session.set_context(&Other)), Misuse::WrongBackend);
    session.set_context(&Script::Server).unwrap();
    assert_eq!(
        misuse(session.set_context(&Script::Server)),
        Misuse::NotSuspended
    );
    assert_eq!(
        misuse(server().set_context(&Script::Server)),
        Misuse::NotSuspended
    );
}

#[test]
fn a_context_that_cannot_go_on_from_here_is_refused_and_another_will_do() {
    let mut session = suspended();
    let deferred = Deferred::<Script>::new();
    assert_eq!(
        misuse(session.set_context(&deferred)),
        Misuse::DeferredContext
    );
    session.set_context(&Script::Plain).unwrap();

    let any = Deferred::any();
    let mut session = any.buffer_session(SessionOptions::new()).unwrap();
    let status = session.handshake(&mut hello(), &mut []).unwrap().status;
    assert_eq!(status, Status::NeedsServerContext);
    let nested = misuse(session.set_context(&any));
    assert_eq!(nested, Misuse::DeferredContext);

    let (near, mut far) = sockets();
    let mut session = socket(near);
    far.write_all(&hello()).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
    let plain = session.set_context(&Script::Plain).unwrap_err().kind();
    assert_eq!(
        plain,
        ErrorKind::Unsupported(Feature::DeferredServerContext)
    );
    assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
    session.set_context(&Script::Server).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::WantRead);
}

#[test]
fn a_client_is_refused_with_the_alert_of_the_callers_choice() {
    let unrecognized = AlertDescription::UNRECOGNIZED_NAME;
    let mut early = buffer();
    assert_eq!(
        misuse(early.refuse_client_hello(unrecognized)),
        Misuse::NotSuspended
    );
    let mut session = suspended();
    assert_eq!(
        misuse(session.refuse_client_hello(AlertDescription::CLOSE_NOTIFY)),
        Misuse::ClosureAlert
    );
    session.refuse_client_hello(unrecognized).unwrap();
    let mut alert = [0; 100];
    let progress = session.handshake(&mut [], &mut alert).unwrap();
    assert_eq!(
        alert[..progress.produced],
        [21, 3, 3, 0, 2, 2, unrecognized.0]
    );
    let refused = session.handshake(&mut [], &mut []).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert_eq!(
        refused.alert().map(|alert| alert.description),
        Some(unrecognized)
    );
    let late = session.set_context(&Script::Server).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Refused);

    let (near, mut far) = sockets();
    let mut session = socket(near);
    far.write_all(&hello()).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
    session.refuse_client_hello(unrecognized).unwrap();
    assert_eq!(session.flush().unwrap(), Status::Complete);
    assert_eq!(take(&mut far), alert[..7]);
    let refused = session.handshake().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
}

#[test]
fn any_backend_will_do_where_that_was_asked_for() {
    let contexts: [Box<dyn crate::DynContext>; 2] = [Box::new(Other), Box::new(Script::Server)];
    for context in contexts {
        let deferred = Deferred::<AnyContext>::any();
        let mut session = deferred.buffer_session(SessionOptions::new()).unwrap();
        let progress = session.handshake(&mut hello(), &mut []).unwrap();
        assert_eq!(progress.status, Status::NeedsServerContext);
        session.set_context(&*context).unwrap();
        let status = session.handshake(&mut [], &mut [0; 100]).unwrap().status;
        assert_eq!(status, Status::WantRead);
    }
}

#[test]
fn what_is_no_hello_is_answered_by_an_alert_before_the_error() {
    let mut session = buffer();
    let mut garbage = *b"GET / HTTP/1.1";
    let progress = session.handshake(&mut garbage, &mut []).unwrap();
    assert_eq!(progress.status, Status::WantWrite);
    assert_eq!(session.pending_output(), 7);
    let mut alert: Vec<u8> = Vec::new();
    loop {
        let mut byte = [0];
        match session.handshake(&mut [], &mut byte) {
            Ok(progress) => alert.extend(&byte[..progress.produced]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Protocol);
                break;
            }
        }
    }
    assert_eq!(
        alert,
        [21, 3, 3, 0, 2, 2, AlertDescription::UNEXPECTED_MESSAGE.0]
    );
    assert!(session.read(&mut [], &mut [0]).is_err());
    let late = session.set_context(&Script::Server).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Protocol);
}

#[test]
fn the_end_of_input_is_truncation_before_the_hello_and_after_it() {
    let mut session = buffer();
    let mut hello = hello();
    let half = hello.len() / 2;
    assert!(session.handshake(&mut hello[..half], &mut []).is_ok());
    session.input_eof();
    let error = session.handshake(&mut [], &mut []).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);

    let mut session = suspended();
    session.input_eof();
    let status = session.handshake(&mut [], &mut []).unwrap().status;
    assert_eq!(status, Status::NeedsServerContext);
    session.set_context(&Script::Server).unwrap();
    let mut output = [0; 100];
    let error = loop {
        match session.handshake(&mut [], &mut output) {
            Ok(progress) => assert_ne!(progress.status, Status::WantRead),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

#[test]
fn a_context_that_makes_no_session_ends_this_one() {
    let mut session = suspended();
    let error = session.set_context(&Script::Broken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend);
    let mut alert = [0; 100];
    let progress = session.handshake(&mut [], &mut alert).unwrap();
    let internal = AlertDescription::INTERNAL_ERROR.0;
    assert_eq!(alert[..progress.produced], [21, 3, 3, 0, 2, 2, internal]);
    let error = session.handshake(&mut [], &mut []).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend);

    let (near, mut far) = sockets();
    let mut session = socket(near);
    far.write_all(&hello()).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
    assert!(session.set_context(&Script::Broken).is_err());
    assert!(session.handshake().is_err());
    assert_eq!(take(&mut far), alert[..7]);
    assert!(
        rustix::net::getpeername(session.as_fd()).is_ok(),
        "the descriptor is still one"
    );
}

#[test]
fn a_socket_gives_the_hello_and_nothing_that_follows_it() {
    let finish = record(HANDSHAKE, b"finish");
    let (near, mut far) = sockets();
    let mut session = socket(near);
    assert_eq!(session.handshake().unwrap(), Status::WantRead);
    let hello = hello();
    far.write_all(&hello[..10]).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::WantRead);
    far.write_all(&[&hello[10..], &finish].concat()).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
    assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
    let waiting = rustix::io::ioctl_fionread(session.as_fd()).unwrap();
    assert_eq!(waiting, finish.len() as u64);
    session.set_context(&Script::Server).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::Complete);
    assert_eq!(take(&mut far), record(HANDSHAKE, b"hello"));
}

#[test]
fn a_borrowed_socket_stays_its_owners() {
    let (near, mut far) = sockets();
    let context = Deferred::<Script>::new();
    let options = SessionOptions::new();
    let mut session = context
        .socket_session_borrowed(near.as_fd(), options)
        .unwrap();
    far.write_all(&hello()).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
    session.set_context(&Script::Server).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::WantRead);
    drop(session);
    assert_eq!(take(&mut far), record(HANDSHAKE, b"hello"));
    far.write_all(b"still open").unwrap();
}

#[test]
fn bytes_from_before_the_handshake_come_first() {
    let bytes = [hello(), record(HANDSHAKE, b"finish")].concat();
    for split in [0, 3, 20, bytes.len() - 3, bytes.len()] {
        let (near, mut far) = sockets();
        let mut session = socket(near);
        let (before, after) = bytes.split_at(split);
        session.unread(before).unwrap();
        far.write_all(after).unwrap();
        assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
        let late = session.unread(b"x").unwrap_err().kind();
        assert_eq!(late, ErrorKind::Misuse(Misuse::HandshakeBegun));
        session.set_context(&Script::Server).unwrap();
        assert_eq!(session.handshake().unwrap(), Status::Complete, "{split}");
    }
}

#[test]
fn a_plain_pump_takes_bytes_from_before_the_handshake() {
    let (near, mut far) = sockets();
    let mut pump = SocketPump::new(Descriptor::Owned(near.into()), server(), BOUND).unwrap();
    let hello = record(HANDSHAKE, b"hello");
    pump.unread(&hello[..3]).unwrap();
    pump.unread(&hello[3..]).unwrap();
    let too_much = pump.unread(&[0; 68 * 1024]).unwrap_err().kind();
    assert_eq!(too_much, ErrorKind::Config(ConfigProblem::Limit));
    far.write_all(&record(HANDSHAKE, b"finish")).unwrap();
    assert_eq!(pump.handshake().unwrap(), Status::Complete);
}

#[test]
fn a_socket_is_given_back_before_anything_was_received() {
    let (near, mut far) = sockets();
    let session = Box::new(socket(near));
    let detached = session.into_fd().unwrap();
    assert!(detached.plaintext.is_empty());
    let mut session = socket(detached.fd);
    far.write_all(&hello()[..10]).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::WantRead);
    let refused = Box::new(session).into_fd().unwrap_err();
    let held = ErrorKind::Misuse(Misuse::CiphertextHeld);
    assert_eq!(refused.error.kind(), held);
    assert!(rustix::net::getpeername(refused.session.as_fd()).is_ok());
}

#[test]
fn a_session_that_cannot_be_taken_apart_keeps_its_hello() {
    let (near, mut far) = sockets();
    let mut session = socket(near);
    far.write_all(&hello()).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::NeedsServerContext);
    session.set_context(&Script::Server).unwrap();
    far.write_all(&record(HANDSHAKE, b"fin")[..4]).unwrap();
    assert_eq!(session.handshake().unwrap(), Status::WantRead);
    let refused = Box::new(session).into_fd().unwrap_err();
    let held = ErrorKind::Misuse(Misuse::CiphertextHeld);
    assert_eq!(refused.error.kind(), held);
    assert!(refused.session.client_hello().is_some());
}

#[test]
fn a_server_takes_no_server_name() {
    let context = Deferred::<Script>::new();
    let options = SessionOptions::to_server("a.example").unwrap();
    let error = context.buffer_session(options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config(ConfigProblem::ServerName));
}
