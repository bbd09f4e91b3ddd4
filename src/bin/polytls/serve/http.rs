//! From a request to a response. RFC 9110.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Either;
use http_range_header::{EndPosition, StartPosition};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tracing::debug;

use super::body::{self, FileBody, ResponseBody};
use super::files::{Found, Refusal, Regular, Root};

/// Answers a request.
pub(super) fn respond<B>(root: &Root, request: &Request<B>) -> Response<ResponseBody> {
    let response = answer(root, request);
    debug!(
        method = %request.method(),
        target = %request.uri(),
        status = response.status().as_u16(),
        "request"
    );
    response
}

fn answer<B>(root: &Root, request: &Request<B>) -> Response<ResponseBody> {
    let is_head = match *request.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => {
            let mut response = page(StatusCode::METHOD_NOT_ALLOWED, false);
            let headers = response.headers_mut();
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            // The body of the request is not read.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
    };
    match root.find(request.uri().path()) {
        Ok(Found::File(file)) => send_file(file, request.headers(), is_head),
        Ok(Found::Directory) => redirect(request.uri(), is_head),
        Err(refusal) => page(status_of(refusal), is_head),
    }
}

fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::Malformed => StatusCode::BAD_REQUEST,
        Refusal::Forbidden => StatusCode::FORBIDDEN,
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn send_file(found: Regular, request: &HeaderMap, is_head: bool) -> Response<ResponseBody> {
    let modified = found.modified.map(whole_seconds);
    if modified.is_some_and(|modified| is_unchanged(request, modified)) {
        let mut response = Response::new(body::text(String::new()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        insert_modified(response.headers_mut(), modified);
        return response;
    }
    let size = found.size;
    let (status, range) = match requested_range(request, modified, size, is_head) {
        Wanted::Everything => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let mut response = page(StatusCode::RANGE_NOT_SATISFIABLE, is_head);
            let value = format!("bytes */{size}");
            insert(response.headers_mut(), header::CONTENT_RANGE, &value);
            return response;
        }
    };
    let media_type = mime_guess::from_path(&found.name).first_or_octet_stream();
    let (start, end) = (range.start, range.end);
    let mut response = Response::new(if is_head {
        body::text(String::new())
    } else {
        Either::Right(FileBody::new(found.file, range))
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    insert(headers, header::CONTENT_TYPE, media_type.as_ref());
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    insert_modified(headers, modified);
    if status == StatusCode::PARTIAL_CONTENT {
        let value = format!("bytes {start}-{}/{size}", end - 1);
        insert(headers, header::CONTENT_RANGE, &value);
    }
    response
}

/// RFC 9110 section 13.1.3: not looked at beside If-None-Match.
fn is_unchanged(request: &HeaderMap, modified: SystemTime) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        return false;
    }
    date(request, header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since)
}

/// How much of a file is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Everything,
    Part(std::ops::Range<u64>),
    /// The range lies behind the end.
    Nothing,
}

/// RFC 9110 section 14.2: more than one range, or a unit other than bytes, may be ignored; so may a
/// range of a file that has changed since (section 13.1.5).
fn requested_range(
    request: &HeaderMap,
    modified: Option<SystemTime>,
    size: u64,
    is_head: bool,
) -> Wanted {
    if is_head || !is_same_as_before(request, modified) {
        return Wanted::Everything;
    }
    let Some(text) = request.get(header::RANGE).and_then(|v| v.to_str().ok()) else {
        return Wanted::Everything;
    };
    let Ok(parsed) = http_range_header::parse_range_header(text) else {
        return Wanted::Everything;
    };
    let [range] = &parsed.ranges[..] else {
        return Wanted::Everything;
    };
    // Section 14.1.2: what goes beyond the end means up to the end.
    let (start, end) = match (range.start, range.end) {
        (StartPosition::FromLast(length), _) => (size.saturating_sub(length), size),
        (StartPosition::Index(first), EndPosition::Index(last)) => {
            (first, last.saturating_add(1).min(size))
        }
        (StartPosition::Index(first), EndPosition::LastByte) => (first, size),
    };
    if start >= end {
        return Wanted::Nothing;
    }
    Wanted::Part(start..end)
}

fn is_same_as_before(request: &HeaderMap, modified: Option<SystemTime>) -> bool {
    !request.contains_key(header::IF_RANGE)
        || (modified.is_some() && date(request, header::IF_RANGE) == modified)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// HTTP dates have whole seconds (RFC 9110 section 5.6.7); times before 1970 cannot be told.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A date in the future is not told (RFC 9110 section 8.8.2.1), nor one behind the year 9999.
fn insert_modified(headers: &mut HeaderMap, modified: Option<SystemTime>) {
    let Some(modified) = modified else { return };
    let told = modified.min(SystemTime::now());
    insert(
        headers,
        header::LAST_MODIFIED,
        &httpdate::fmt_http_date(told),
    );
}

/// To the same path with a slash behind it. The path starts with one slash, for with two it would
/// name another host.
fn redirect(uri: &hyper::Uri, is_head: bool) -> Response<ResponseBody> {
    let path = uri.path().trim_start_matches('/');
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let mut response = page(StatusCode::MOVED_PERMANENTLY, is_head);
    insert(
        response.headers_mut(),
        header::LOCATION,
        &format!("/{path}/{query}"),
    );
    response
}

/// A page that says no more than the status.
fn page(status: StatusCode, is_head: bool) -> Response<ResponseBody> {
    let text = format!("<!doctype html><title>{status}</title><h1>{status}</h1>\n");
    let length = text.len();
    let body = if is_head { String::new() } else { text };
    let mut response = Response::new(body::text(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Values are made up here of numbers, dates and parts of a parsed request target.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn range_of(size: u64, text: &str) -> Wanted {
        requested_range(&headers(&[(header::RANGE, text)]), None, size, false)
    }

    fn range(text: &str) -> Wanted {
        range_of(100, text)
    }

    #[test]
    fn single_ranges() {
        assert_eq!(range("bytes=0-9"), Wanted::Part(0..10));
        assert_eq!(range("bytes=90-"), Wanted::Part(90..100));
        assert_eq!(range("bytes=-10"), Wanted::Part(90..100));
        assert_eq!(range("bytes=90-1000"), Wanted::Part(90..100));
        assert_eq!(range("bytes=-1000"), Wanted::Part(0..100));
        assert_eq!(range("bytes=100-"), Wanted::Nothing);
        assert_eq!(range("bytes=9-8"), Wanted::Nothing);
        for ignored in [
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=",
            "bytes=x-y",
            "garbage",
        ] {
            assert_eq!(range(ignored), Wanted::Everything, "{ignored}");
        }
    }

    #[test]
    fn an_empty_file_has_no_parts() {
        for text in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(range_of(0, text), Wanted::Nothing, "{text}");
        }
    }

    #[test]
    fn a_range_of_a_changed_file_is_everything() {
        let modified = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let same = httpdate::fmt_http_date(modified);
        let wanted = |since: &str| {
            let request = headers(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, since)]);
            requested_range(&request, Some(modified), 100, false)
        };
        assert_eq!(wanted(&same), Wanted::Part(0..10));
        let other = httpdate::fmt_http_date(modified + Duration::from_secs(1));
        assert_eq!(wanted(&other), Wanted::Everything);
        assert_eq!(wanted("\"etag\""), Wanted::Everything);
    }

    #[test]
    fn a_directory_is_never_redirected_to_another_host() {
        let uri = "//example.org/a?b=c".parse().unwrap();
        let response = redirect(&uri, false);
        let location = response.headers()[header::LOCATION].to_str().unwrap();
        assert!(
            location.starts_with('/') && !location.starts_with("//"),
            "{location}"
        );
    }

    #[test]
    fn unchanged_since() {
        let modified = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let date = httpdate::fmt_http_date(modified);
        let since = (header::IF_MODIFIED_SINCE, date.as_str());
        assert!(is_unchanged(
            &headers(std::slice::from_ref(&since)),
            modified
        ));
        let later = modified + Duration::from_secs(1);
        assert!(!is_unchanged(&headers(std::slice::from_ref(&since)), later));
        let matched = (header::IF_NONE_MATCH, "\"x\"");
        assert!(!is_unchanged(&headers(&[since, matched]), modified));
        assert!(!is_unchanged(&headers(&[]), modified));
    }
}
