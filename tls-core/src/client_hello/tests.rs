use super::*;
use crate::error::{AlertDirection, ErrorKind};
use crate::iana::AlertDescription;

/// A ClientHello as its parts, to be put together right or wrong.
struct Hello {
    legacy_version: u16,
    suites: Vec<u16>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    fn new() -> Self {
        Self {
            legacy_version: 0x0303,
            suites: vec![0x1a1a, 0x1301, 0xc02f],
            extensions: vec![
                (0, server_name(b"A.Example")),
                (16, vector(b"\x02h2\x08http/1.1")),
                (10, list(&[0x0a0a, 29, 23])),
                (13, list(&[0x0403, 0x0804])),
                (43, short_list(&[0x2a2a, 0x0304, 0x0303])),
            ],
        }
    }

    fn only(extension: (u16, Vec<u8>)) -> Self {
        Self {
            extensions: vec![extension],
            ..Self::new()
        }
    }

    fn message(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.extend(b"\x03sid");
        body.extend(list(&self.suites));
        body.extend([1, 0]);
        let mut extensions = Vec::new();
        for (kind, content) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(vector(content));
        }
        body.extend(vector(&extensions));
        message(1, &body)
    }

    fn parse(&self) -> crate::Result<ClientHello> {
        parse(&records(&self.message(), 16 * 1024))
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&length.to_be_bytes(), content].concat()
}

fn list(values: &[u16]) -> Vec<u8> {
    let bytes: Vec<_> = values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect();
    vector(&bytes)
}

fn short_list(values: &[u16]) -> Vec<u8> {
    list(values)[1..].to_vec()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    vector(&[&[0][..], &vector(name)].concat())
}

/// The message in records of at most this many bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let mut records = Vec::new();
    for fragment in message.chunks(size) {
        records.extend([22, 3, 1]);
        records.extend(vector(fragment));
    }
    records
}

fn parse(bytes: &[u8]) -> crate::Result<ClientHello> {
    let mut reader = ClientHelloReader::new();
    let taken = reader.read(bytes)?;
    assert_eq!(taken, bytes.len());
    Ok(reader.finish()?.expect("the whole message is there"))
}

/// A whole ClientHello, in one record.
pub(crate) fn hello() -> Vec<u8> {
    records(&Hello::new().message(), 16 * 1024)
}

/// The alert with which these bytes are refused.
fn alert(bytes: &[u8]) -> AlertDescription {
    let mut reader = ClientHelloReader::new();
    let refused = match reader.read(bytes) {
        Ok(_) => reader.finish().map(|hello| assert!(hello.is_some())),
        Err(error) => Err(error),
    };
    let error = refused.expect_err("it must be refused");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(!error.detail().is_empty());
    let alert = error.alert().expect("it names an alert");
    assert_eq!(alert.direction, AlertDirection::Sent);
    alert.description
}

#[test]
fn what_a_client_offers_is_read() {
    let sent = Hello::new();
    let hello = sent.parse().unwrap();
    assert_eq!(hello.server_name(), Some("a.example"));
    assert_eq!(hello.legacy_version(), ProtocolVersion::TLS1_2);
    let versions: Vec<_> = hello.versions().map(|version| version.0).collect();
    assert_eq!(versions, [0x2a2a, 0x0304, 0x0303]);
    let suites: Vec<_> = hello.cipher_suites().map(|suite| suite.0).collect();
    assert_eq!(suites, sent.suites);
    assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    let groups: Vec<_> = hello.groups().map(|group| group.0).collect();
    assert_eq!(groups, [0x0a0a, 29, 23]);
    let schemes: Vec<_> = hello.signature_schemes().collect();
    let expected = [
        SignatureScheme::ECDSA_SECP256R1_SHA256,
        SignatureScheme::RSA_PSS_RSAE_SHA256,
    ];
    assert_eq!(schemes, expected);
    assert_eq!(hello.random(), [7; 32]);
    assert_eq!(hello.session_id(), b"sid");
    assert_eq!(hello.compression_methods(), [0]);
    assert_eq!(hello.message(), sent.message());
    assert_eq!(hello.as_bytes(), records(&sent.message(), 16 * 1024));
    assert_eq!(hello.extensions().count(), 5);
    assert_eq!(hello.extension(ExtensionType::COOKIE), None);
}

#[test]
fn a_client_of_tls12_may_name_next_to_nothing() {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let hello = parse(&records(&message(1, &body), 100)).unwrap();
    assert_eq!(
        hello.versions().collect::<Vec<_>>(),
        [ProtocolVersion::TLS1_2]
    );
    assert_eq!(hello.server_name(), None);
    assert_eq!(hello.alpn().count(), 0);
    assert_eq!(hello.groups().count(), 0);
    assert_eq!(hello.signature_schemes().count(), 0);
    assert_eq!(hello.extensions().count(), 0);
}

#[test]
fn records_and_segments_may_split_it_anywhere() {
    let sent = Hello::new();
    let message = sent.message();
    for size in [1, 2, 3, 5, 100, 16 * 1024] {
        let bytes = records(&message, size);
        for segment in [1, 2, 7, bytes.len()] {
            let mut reader = ClientHelloReader::new();
            for piece in bytes.chunks(segment) {
                assert!(reader.finish().unwrap().is_none());
                assert_eq!(reader.read(piece).unwrap(), piece.len());
            }
            assert_eq!(reader.held(), bytes.len());
            let hello = reader.finish().unwrap().expect("all of it was read");
            assert_eq!(hello.message(), message, "records of {size}");
            assert_eq!(hello.as_bytes(), bytes);
        }
    }
}

#[test]
fn what_follows_the_hello_stays_with_the_caller() {
    let mut bytes = records(&Hello::new().message(), 16 * 1024);
    let length = bytes.len();
    bytes.extend([20, 3, 3, 0, 1, 1]);
    let mut reader = ClientHelloReader::new();
    assert_eq!(reader.read(&bytes).unwrap(), length);
    assert_eq!(reader.read(&bytes[length..]).unwrap(), 0);
}

#[test]
fn it_is_given_out_once_and_nothing_is_taken_after_it() {
    let bytes = records(&Hello::new().message(), 16 * 1024);
    let mut reader = ClientHelloReader::new();
    assert_eq!(reader.read(&bytes).unwrap(), bytes.len());
    assert!(reader.finish().unwrap().is_some());
    assert_eq!(reader.read(&bytes).unwrap(), 0);
    assert_eq!(reader.wanted().unwrap(), 0);
    assert_eq!(reader.held(), 0);
    assert!(reader.is_complete() && reader.finish().unwrap().is_none());
}

#[test]
fn a_torn_message_is_refused_wherever_it_is_torn() {
    let whole = Hello::new().message();
    for end in 4..whole.len() {
        let torn = message(1, &whole[4..end]);
        // Without any extension it would be whole.
        let bare = 4 + 2 + 32 + 4 + 8 + 2;
        if end == bare {
            assert!(parse(&records(&torn, 100)).is_ok());
            continue;
        }
        let alert = alert(&records(&torn, 100));
        assert_eq!(alert, AlertDescription::DECODE_ERROR, "{end} bytes");
    }
}

#[test]
fn malformed_parts_are_refused() {
    const DECODE: AlertDescription = AlertDescription::DECODE_ERROR;
    const ILLEGAL: AlertDescription = AlertDescription::ILLEGAL_PARAMETER;
    let mut twice = server_name(b"a.example");
    let entry = twice[2..].to_vec();
    twice = vector(&[&entry[..], &entry].concat());
    let table: [(&str, u16, Vec<u8>, AlertDescription); 18] = [
        ("no list of names", 0, vec![], DECODE),
        ("an empty list of names", 0, vector(b""), DECODE),
        ("an empty name", 0, server_name(b""), ILLEGAL),
        ("another type of name", 0, vector(b"\x01\x00\x01a"), ILLEGAL),
        ("two names", 0, twice, ILLEGAL),
        (
            "a name with a zero byte",
            0,
            server_name(b"a\0.example"),
            ILLEGAL,
        ),
        ("a name with a space", 0, server_name(b"a b"), ILLEGAL),
        (
            "a name that is not ASCII",
            0,
            server_name(b"\xff.example"),
            ILLEGAL,
        ),
        ("a name too long", 0, server_name(&[b'a'; 300]), ILLEGAL),
        (
            "bytes behind the names",
            0,
            [server_name(b"a"), vec![0]].concat(),
            DECODE,
        ),
        ("no protocol", 16, vector(b""), DECODE),
        ("an empty protocol", 16, vector(b"\x00"), DECODE),
        ("a torn protocol", 16, vector(b"\x03h2"), DECODE),
        ("no version", 43, vec![0], DECODE),
        ("half a version", 43, vec![3, 3, 4, 3], DECODE),
        ("no group", 10, vector(b""), DECODE),
        ("half a scheme", 13, vector(b"\x04\x03\x08"), DECODE),
        (
            "bytes behind the schemes",
            13,
            [list(&[1]), vec![0]].concat(),
            DECODE,
        ),
    ];
    for (what, kind, body, expected) in table {
        let bytes = records(&Hello::only((kind, body)).message(), 500);
        assert_eq!(alert(&bytes), expected, "{what}");
    }
}

#[test]
fn extensions_come_once_and_the_pre_shared_key_last() {
    let mut twice = Hello::new();
    twice.extensions.push((16, vector(b"\x02h2")));
    let illegal = AlertDescription::ILLEGAL_PARAMETER;
    assert_eq!(alert(&records(&twice.message(), 500)), illegal);

    let mut hello = Hello::new();
    hello.extensions.push((41, vec![]));
    assert!(hello.parse().is_ok());
    hello.extensions.push((42, vec![]));
    assert_eq!(alert(&records(&hello.message(), 500)), illegal);
}

#[test]
fn an_ip_address_is_no_server_name_and_a_last_dot_is_none_of_it() {
    for address in [&b"127.0.0.1"[..], b"::1"] {
        let hello = Hello::only((0, server_name(address))).parse().unwrap();
        assert_eq!(hello.server_name(), None);
    }
    let hello = Hello::only((0, server_name(b"a.example.")))
        .parse()
        .unwrap();
    assert_eq!(hello.server_name(), Some("a.example"));
}

#[test]
fn what_is_no_client_hello_is_refused_by_its_first_bytes() {
    const UNEXPECTED: AlertDescription = AlertDescription::UNEXPECTED_MESSAGE;
    assert_eq!(alert(b"GET / HTTP/1.1"), UNEXPECTED);
    assert_eq!(alert(&[0x80]), UNEXPECTED, "SSL 2.0");
    assert_eq!(alert(&[21, 3, 3]), UNEXPECTED, "an alert");
    assert_eq!(alert(&[22, 2]), AlertDescription::PROTOCOL_VERSION);
    assert_eq!(alert(&[22, 3, 1, 0, 0]), UNEXPECTED, "an empty record");
    let overflow = AlertDescription::RECORD_OVERFLOW;
    assert_eq!(alert(&[22, 3, 1, 0x40, 1]), overflow);
    let finished = message(20, &[0; 12]);
    assert_eq!(alert(&records(&finished, 500)), UNEXPECTED, "a Finished");
    let two = [Hello::new().message(), finished].concat();
    assert_eq!(alert(&records(&two, 500)), UNEXPECTED, "two messages");
}

#[test]
fn length_and_records_are_bounded() {
    let huge = [&[1, 1, 0, 1][..], &[0; 100]].concat();
    let illegal = AlertDescription::ILLEGAL_PARAMETER;
    assert_eq!(alert(&records(&huge, 500)), illegal);

    let mut padded = Hello::new();
    padded.extensions.push((21, vec![0; 60_000]));
    assert!(padded.parse().is_ok());
    let unexpected = AlertDescription::UNEXPECTED_MESSAGE;
    assert_eq!(alert(&records(&padded.message(), 10)), unexpected);
}

/// Whatever comes is told or refused, and what is told can be read to its ends.
#[test]
fn changed_bytes_are_told_or_refused() {
    let sound = records(&Hello::new().message(), 60);
    let mut state = 0x9e37_79b9_u32;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let mut told = 0;
    for _ in 0..100_000 {
        let mut bytes = sound.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes.insert(at, random(256) as u8),
                _ => drop(bytes.remove(at)),
            }
        }
        let mut reader = ClientHelloReader::new();
        let taken = reader.read(&bytes);
        assert!(taken.is_err() || reader.held() <= bytes.len());
        let Ok(Some(hello)) = taken.and_then(|_| reader.finish()) else {
            continue;
        };
        told += 1;
        let extensions: usize = hello.extensions().map(|(_, body)| 4 + body.len()).sum();
        assert!(extensions <= hello.message().len());
        assert!(hello.as_bytes().len() > hello.message().len());
        let names: usize = hello.alpn().map(<[u8]>::len).sum();
        assert!(names <= extensions && hello.random().len() == 32);
        let numbers = hello.cipher_suites().count() + hello.groups().count();
        assert!(numbers + hello.signature_schemes().count() < hello.message().len());
    }
    assert!(told > 1_000, "only {told} were told");
}

#[cfg(feature = "fingerprint")]
mod fingerprints {
    use super::*;

    /// The example with which JA4 is explained.
    #[test]
    fn ja4_of_a_browser() {
        let mut hello = Hello {
            legacy_version: 0x0303,
            suites: vec![
                0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                (0x1a1a, vec![]),
                (0, server_name(b"a.example")),
                (16, vector(b"\x02h2\x08http/1.1")),
                (
                    13,
                    list(&[
                        0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
                    ]),
                ),
                (43, short_list(&[0x5a5a, 0x0304, 0x0303])),
                (10, list(&[0x6a6a, 29, 23, 24])),
            ],
        };
        for kind in [
            0x0017, 0xff01, 0x000b, 0x0023, 0x0005, 0x0012, 0x0033, 0x002d, 0x001b, 0x4469, 0x0015,
        ] {
            hello.extensions.push((kind, vec![]));
        }
        let hello = hello.parse().unwrap();
        assert_eq!(hello.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    /// The example with which JA3 is explained.
    #[test]
    fn ja3_of_an_old_client() {
        let hello = Hello {
            legacy_version: 769,
            suites: vec![47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions: vec![
                (0, server_name(b"a.example")),
                (10, list(&[23, 24, 25])),
                (11, vec![1, 0]),
            ],
        };
        let hello = hello.parse().unwrap();
        let text = "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0";
        assert_eq!(hello.ja3_text(), text);
        assert_eq!(hello.ja3(), "ada70206e40642a3e4461f35503241d5");
    }

    #[test]
    fn little_offered_is_little_told() {
        let mut hello = Hello::new();
        hello.suites = vec![0x0a0a];
        hello.extensions = vec![(16, vector(b"\x03\xabc\xcd"))];
        let ja4 = hello.parse().unwrap().ja4();
        assert_eq!(ja4, "t12i0001ad_000000000000_000000000000");
    }
}
