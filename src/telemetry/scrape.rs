//! A port that Prometheus scrapes while a run is in progress: `GET /metrics`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::TEXT_FORMAT;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::prometheus_text::text;
use super::run_metrics::RunMetrics;
use crate::limits::{SCRAPE_CONNECTIONS_MAX, SCRAPE_TIMEOUT};

/// Opens the port and answers requests in a task.
pub(super) async fn listen(address: SocketAddr, metrics: &Arc<RunMetrics>, tasks: &mut JoinSet<()>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving metrics");
    }
    tasks.spawn(accept(listener, Arc::clone(metrics)));
    Ok(())
}

async fn accept(listener: TcpListener, metrics: Arc<RunMetrics>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < SCRAPE_CONNECTIONS_MAX => {
                // A client that is gone already is not an error.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&metrics)));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(stream: TcpStream, metrics: Arc<RunMetrics>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = response(request.method(), request.uri().path(), &metrics);
        async { Ok::<_, Infallible>(response) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(SCRAPE_TIMEOUT).max_buf_size(16 * 1024);
    // A client that closes its connection is not an error.
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

fn response(method: &Method, path: &str, metrics: &RunMetrics) -> Response<Full<Bytes>> {
    let (status, content_type, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, TEXT_FORMAT, text(metrics)),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}
