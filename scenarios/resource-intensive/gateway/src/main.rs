//! A tiny gateway: reads one request a connection and says which service would answer it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn service_of(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().filter(|first| !first.is_empty()).unwrap_or("home")
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut received = [0u8; 4096];
    let length = stream.read(&mut received)?;
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let body = match request.parse(&received[..length]) {
        Ok(_) => service_of(request.path.unwrap_or("/")).to_string(),
        Err(problem) => format!("bad request: {problem}"),
    };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn main() -> std::io::Result<()> {
    for stream in TcpListener::bind("0.0.0.0:8000")?.incoming() {
        answer(stream?)?;
    }
    Ok(())
}

#[test]
fn the_first_part_of_the_path_names_the_service() {
    assert_eq!(service_of("/orders/7"), "orders");
    assert_eq!(service_of("/"), "home");
}
