//! A connection against a peer that says what it is told to.

use super::*;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What comes of one answer.
struct Seen {
    /// What came, up to an error.
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    error: Option<String>,
    /// Whether the connection went back.
    back: bool,
}

/// A connection, and its other side.
async fn pair() -> (Box<Connection>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    (Box::new(Connection::new(MaybeHttpsStream::Http(TokioIo::new(ours)))), theirs)
}

/// Reads a request's head, says these pieces, and then closes where told so; gives the head.
fn says(mut side: TcpStream, pieces: Vec<Vec<u8>>, closes: bool) -> JoinHandle<(String, Option<TcpStream>)> {
    tokio::spawn(async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(side.read_buf(&mut head).await.unwrap() > 0);
        }
        for piece in pieces {
            let _ = side.write_all(&piece).await;
            let _ = side.flush().await;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        (String::from_utf8(head).unwrap(), (!closes).then_some(side))
    })
}

fn asked(method: Method) -> Head {
    Head { method, path: "/".parse().unwrap(), headers: HeaderMap::new(), added: Vec::new() }
}

async fn seen(method: Method, answer: &[u8], pieces: usize, closes: bool) -> Result<Seen, Broken> {
    let (connection, side) = pair().await;
    let pieces = answer.chunks(answer.len().div_ceil(pieces).max(1)).map(<[u8]>::to_vec).collect();
    let peer = says(side, pieces, closes);
    let shelf = Arc::new(Shelf::default());
    let host = HeaderValue::from_static("there");
    let answer = connection.ask(&asked(method), "/", &host, &shelf).await?;
    let mut body = answer.into_body();
    let (mut said, mut trailers, mut error) = (Vec::new(), None, None);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) if frame.is_data() => said.extend(frame.into_data().unwrap()),
            Ok(frame) => trailers = frame.into_trailers().ok(),
            Err(e) => error = Some(e.to_string()),
        }
    }
    assert!(body.is_end_stream());
    let _side = peer.await.unwrap();
    let back = shelf.take().is_some();
    Ok(Seen { body: said, trailers, error, back })
}

#[tokio::test]
async fn a_body_ends_where_its_head_says_however_it_is_cut_into_pieces() {
    let chunked: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n3;a=b\r\nabc\r\n0A \r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n";
    for (method, answer, body, back) in [
        (Method::GET, &b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"[..], &b"abc"[..], true),
        (Method::GET, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", true),
        (Method::GET, b"HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\ncontent-length: 3\r\n\r\nabc", b"abc", true),
        (Method::GET, chunked, b"abc0123456789", true),
        (Method::GET, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b"", true),
        (Method::HEAD, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", b"", true),
        (Method::GET, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", b"", true),
        (Method::GET, b"HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 3\r\n\r\nabc", b"abc", false),
        (Method::GET, b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc", false),
        (Method::GET, b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", b"", false),
        // What nobody asked for is nobody's answer.
        (Method::GET, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n", b"abc", false),
    ] {
        for pieces in [1, 2, 3, answer.len()] {
            let seen = seen(method.clone(), answer, pieces, false).await.unwrap();
            let text = String::from_utf8_lossy(answer);
            assert_eq!((&seen.body[..], &seen.error), (body, &None), "{text} in {pieces}");
            assert_eq!(seen.back, back, "{text} in {pieces}");
            assert_eq!(seen.trailers.is_some(), text.contains("x-sum"), "{text}");
        }
    }
}

#[tokio::test]
async fn without_a_length_a_body_ends_with_the_connection() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\n\r\nabc"[..],
        b"HTTP/1.0 200 OK\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
    ] {
        let seen = seen(Method::GET, answer, 3, true).await.unwrap();
        assert_eq!((&seen.body[..], seen.error, seen.back), (&b"abc"[..], None, false));
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_never_looks_whole() {
    for (answer, came) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc"[..], &b"abc"[..]),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n-1\r\n\r\n", b"abc"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n10000000000000000\r\n\r\n",
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nno trailer\r\n\r\n", b"abc"),
    ] {
        for pieces in [1, answer.len()] {
            let seen = seen(Method::GET, answer, pieces, true).await.unwrap();
            let text = String::from_utf8_lossy(answer);
            assert_eq!(&seen.body[..], came, "{text}");
            assert!(seen.error.is_some() && !seen.back, "{text}");
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_or_could_be_read_in_two_ways_is_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(head::MAX_BYTES));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101));
    for (answer, closed) in [
        (&b""[..], true),
        (b"HTTP/1.1 200 OK\r\ncontent-len", true),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc", false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nabc", false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nabc", false),
        (b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nx : a\r\n\r\n", false),
        (b"HTTP/2.0 200 OK\r\n\r\n", false),
        (b"HTTP/1.1 099 OK\r\n\r\n", false),
        (b"220 mail.example ESMTP\r\n", false),
        (long.as_bytes(), false),
        (many.as_bytes(), false),
    ] {
        let text = String::from_utf8_lossy(answer);
        let broken = seen(Method::GET, answer, 1, true).await.err();
        let broken = broken.unwrap_or_else(|| panic!("{text:.100}"));
        assert_eq!(matches!(broken, Broken::Closed | Broken::Io(_)), closed, "{text:.100}: {broken}");
    }
}

#[tokio::test]
async fn a_head_goes_as_it_is_with_a_host_and_without_a_body() {
    let (connection, side) = pair().await;
    let peer = says(
        side,
        vec![b"HTTP/1.1 299 Fine by me\r\ncontent-length: 0\r\nx-a: 1\r\nx-a: 2 \r\n\r\n".to_vec()],
        false,
    );
    let mut head = asked(Method::POST);
    for (name, value) in
        [("content-length", "0"), ("transfer-encoding", "chunked"), ("x-one", "1"), ("x-one", "2")]
    {
        head.headers.append(name, value.parse().unwrap());
    }
    head.added.push(("x-two".parse().unwrap(), HeaderValue::from_static("3")));
    let (shelf, host) = (Arc::new(Shelf::default()), HeaderValue::from_static("there:80"));
    let answer = connection.ask(&head, "/a?b", &host, &shelf).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::from_u16(299).unwrap(), Version::HTTP_11));
    assert_eq!(answer.headers().get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    let reason = answer.extensions().get::<hyper::ext::ReasonPhrase>().map(|reason| reason.as_bytes());
    assert_eq!(reason, Some(&b"Fine by me"[..]));
    let (said, _side) = peer.await.unwrap();
    assert_eq!(
        said,
        "POST /a?b HTTP/1.1\r\nhost: there:80\r\ncontent-length: 0\r\nx-one: 1\r\nx-one: 2\r\nx-two: 3\r\n\r\n"
    );
    let mut again = shelf.take().unwrap();
    assert!(again.is_fine());
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_not_given_out() {
    let shelf = Shelf::default();
    for says_something in [false, true] {
        let (connection, mut side) = pair().await;
        shelf.put(connection);
        if says_something {
            side.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        } else {
            drop(side);
        }
        // The news has to arrive.
        let began = std::time::Instant::now();
        while let Some(connection) = shelf.take() {
            shelf.put(connection);
            assert!(began.elapsed().as_secs() < 30);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    let (connection, _side) = pair().await;
    shelf.put(connection);
    let idle = std::time::Duration::from_secs(60);
    shelf.sweep(tokio::time::Instant::now(), idle);
    let kept = shelf.take().unwrap();
    shelf.put(kept);
    // It was used since the last sweep.
    let later = tokio::time::Instant::now() + idle;
    shelf.sweep(later, idle);
    shelf.sweep(later + idle / 2, idle);
    assert_eq!(shelf.len(), 1);
    shelf.sweep(later + idle, idle);
    assert!(shelf.take().is_none());
}

#[tokio::test]
async fn a_long_answer_is_read_ahead_in_pieces_that_grow_and_no_further() {
    let size = 4 * 1024 * 1024;
    let answer =
        [format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").into_bytes(), vec![b'x'; size]];
    let (connection, side) = pair().await;
    let peer = says(side, vec![answer.concat()], false);
    let (shelf, host) = (Arc::new(Shelf::default()), HeaderValue::from_static("there"));
    let mut body = connection.ask(&asked(Method::GET), "/", &host, &shelf).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(size as u64));
    let (mut all, mut longest) = (0, 0);
    while let Some(frame) = body.frame().await {
        let piece: Bytes = frame.unwrap().into_data().unwrap();
        (all, longest) = (all + piece.len(), longest.max(piece.len()));
        assert_eq!(body.size_hint().exact(), Some((size - all) as u64));
        assert_eq!(body.is_end_stream(), all == size);
    }
    assert_eq!(all, size);
    assert!(longest > READ && longest <= 2 * READ_MAX, "{longest}");
    assert!(shelf.take().is_some());
    drop(peer.await);
}

#[tokio::test]
async fn a_long_answer_that_breaks_off_says_so_behind_what_came_of_it() {
    let long = vec![b'x'; 3 * ahead::LONG as usize];
    for (head, whole) in [
        (format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", long.len() + 1), false),
        (format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n", long.len()), false),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), true),
    ] {
        let seen = seen(Method::GET, &[head.as_bytes(), &long].concat(), 5, true).await.unwrap();
        assert!(seen.body == long, "{head}: {}", seen.body.len());
        assert_eq!((seen.error.is_none(), seen.back), (whole, false), "{head}");
    }
}

#[tokio::test]
async fn a_long_answer_that_nobody_wants_any_more_ends_its_connection() {
    let (connection, side) = pair().await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
    let peer = says(side, vec![head, vec![b'x'; 2 * ahead::LONG as usize]], false);
    let (shelf, host) = (Arc::new(Shelf::default()), HeaderValue::from_static("there"));
    let mut body = connection.ask(&asked(Method::GET), "/", &host, &shelf).await.unwrap().into_body();
    let mut came = 0;
    while came < ahead::LONG as usize * 3 / 2 {
        came += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    drop(body);
    let mut side = peer.await.unwrap().1.unwrap();
    // Bytes that nobody read make it a reset.
    assert!(matches!(side.read(&mut [0]).await, Ok(0) | Err(_)));
    assert!(shelf.take().is_none());
}
