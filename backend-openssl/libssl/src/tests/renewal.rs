//! Handshakes after the first that are refused.

use tls_core::config::{PeerVerification, Roots};
use tls_core::{ClientConfig, ErrorKind, Role, Status};

use super::{FLIGHT, flight, setup};
use crate::core::Core;
use crate::mock::{DATA, Mock, record};
use crate::observed::Observed;
use crate::questions::Questions;

/// A client whose handshake is complete, with two of ten bytes of data read.
fn reading() -> Core<Mock> {
    let engine = Mock::new(Role::Client, FLIGHT);
    let mut core = Core::new(engine, &setup(Role::Client, 65536));
    core.link.attach().unwrap();
    let mut input = flight();
    let mut consumed = 0;
    let mut output = vec![0; 5000];
    while core.lifecycle.facts().is_none() {
        let progress = core.handshake(&mut input[consumed..], &mut output);
        consumed += progress.unwrap().consumed;
    }
    let progress = core.read(&mut record(DATA, b"0123456789"), &mut [0; 2]);
    assert_eq!(progress.unwrap().produced, 2);
    core
}

/// Questions to which the library has not waited for the answer.
fn undecided() -> Questions {
    let mut config = ClientConfig::new(Roots::default());
    config.peer_verification = PeerVerification::Suspended;
    let questions = Questions::of_client(&config, None);
    questions.rule(Vec::new, || Ok(()));
    questions
}

#[test]
fn nobody_is_accepted_by_waiting_after_the_handshake_either() {
    let mut core = reading();
    core.renew().unwrap();
    assert_eq!(core.buffered(&[]), 8);
    core.link.engine_mut().observed = Observed::new(undecided());
    assert_eq!(core.renew().unwrap_err().kind(), ErrorKind::Backend);
    assert_eq!(core.buffered(&[]), 0);
}

#[test]
fn what_came_behind_a_refused_handshake_is_not_given() {
    let mut core = reading();
    core.link.engine_mut().observed = Observed::new(undecided());
    let error = core.renew().unwrap_err();
    let told = core.turned_away(error, tls_core::Progress::idle(Status::Complete));
    // The alert goes first.
    assert_eq!(told.unwrap().status, Status::WantWrite);
    assert!(core.pending() > 0);
    assert_eq!(core.leftovers(&mut [0; 10]), 0);
    #[cfg(unix)]
    assert!(core.take_plaintext().is_empty());
}
