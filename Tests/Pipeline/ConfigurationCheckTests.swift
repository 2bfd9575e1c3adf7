import Registry
import StorageMessages
import TestSupport
import Testing

@testable import Pipeline

@Suite("Configuration checks")
struct ConfigurationCheckTests {
  private func findings(_ config: String, history: [(String, Bool)] = []) throws -> [FindingRecord] {
    func quoted(_ text: String) -> String {
      "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "\""
    }
    let steps = history.map { "{\"created_by\":\(quoted($0.0)),\"empty_layer\":\($0.1)}" }.joined(separator: ",")
    let json =
      "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},"
      + "\"history\":[\(steps)],\"config\":\(config)}"
    return ConfigurationChecks.findings(try ImageConfig.parse(Array(json.utf8), subject: "a config"))
  }

  private static let sound = #"{"User":"65532","Healthcheck":{"Test":["CMD","true"]}}"#

  private func ids(_ config: String, history: [String] = []) throws -> [String] {
    try findings(config, history: history.map { ($0, false) }).map(\.id)
  }

  @Test("a sound config has no findings")
  func sound() throws {
    #expect(
      try ids(
        Self.sound,
        history: [
          "/bin/sh -c #(nop) ADD file:1234 in / ", "COPY app /app # buildkit",
          "RUN /bin/sh -c apt-get update && apt-get install -y curl && curl -fsSL https://example.org/x -o /tmp/x # buildkit",
          "ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.org/x /x",
          "RUN chmod 755 /app || true", "ENV TOKEN_FILE=/run/secrets/token",
        ]) == [])
  }

  @Test(
    "who runs",
    arguments: [
      ("", true), ("root", true), ("0", true), ("0:0", true), ("root:app", true), ("00", true), ("app", false),
      ("65532:65532", false), ("rootless", false), ("10", false),
    ])
  func user(user: String, isRoot: Bool) throws {
    #expect(try ids(#"{"User":"\#(user)","Healthcheck":{"Test":["CMD"]}}"#) == (isRoot ? ["RUNS_AS_ROOT"] : []))
  }

  @Test("a health check that was taken away is none, and neither is one that is no object")
  func healthCheck() throws {
    for check in [#"{"Test":["NONE"]}"#, #"{"Test":[]}"#, "{}", "null", "7"] {
      #expect(try ids(#"{"User":"1","Healthcheck":\#(check)}"#) == ["NO_HEALTHCHECK"], "\(check)")
    }
  }

  @Test(
    "variables",
    arguments: [
      ("DB_PASSWORD=quahTh7o", "SECRET_IN_ENV"), ("API_TOKEN=ieL4eeng", "SECRET_IN_ENV"),
      ("aws_secret_access_key=wJalr", "SECRET_IN_ENV"), ("DB_PASSWORD=", ""), ("DB_PASSWORD=$OTHER", ""),
      ("DB_PASSWORD_FILE=/run/x", ""), ("TOKEN=xxxxxx", ""), ("PASSWORD=changeme", ""), ("SECRETS_DIR=/x", ""),
      ("NODE_TLS_REJECT_UNAUTHORIZED=0", "TLS_VERIFICATION_OFF"), ("NODE_TLS_REJECT_UNAUTHORIZED=1", ""),
      ("GIT_SSL_NO_VERIFY=true", "TLS_VERIFICATION_OFF"), ("LD_PRELOAD=/x.so", "LIBRARY_PRELOADED"),
      ("PATH=/usr/bin:.:/bin", "RELATIVE_SEARCH_PATH"), ("PATH=/usr/bin::/bin", "RELATIVE_SEARCH_PATH"),
      ("PATH=/usr/bin:/bin", ""), ("no equals sign", ""),
    ])
  func environment(variable: String, id: String) throws {
    let config = #"{"User":"1","Healthcheck":{"Test":["CMD"]},"Env":["\#(variable)"]}"#
    #expect(try ids(config) == (id.isEmpty ? [] : [id]))
  }

  @Test("a value is never told")
  func values() throws {
    let config = #"{"User":"1","Env":["DB_PASSWORD=s3cr3t-value"]}"#
    let all = try findings(config, history: [("RUN build --token s3cr3t-value PASS_TOKEN=s3cr3t-value", false)])
    #expect(all.filter { $0.id.hasPrefix("SECRET") }.count == 3)
    #expect(!all.contains { "\($0)".contains("s3cr3t-value") })
  }

  @Test("ports", arguments: [("22/tcp", true), ("22", true), ("23/tcp", true), ("22/udp", false), ("8022/tcp", false)])
  func ports(port: String, isFound: Bool) throws {
    let config = #"{"User":"1","Healthcheck":{"Test":["CMD"]},"ExposedPorts":{"\#(port)":{}}}"#
    #expect(try ids(config) == (isFound ? ["REMOTE_SHELL_EXPOSED"] : []))
  }

  @Test(
    "steps of the build",
    arguments: [
      ("/bin/sh -c #(nop) ADD https://example.org/x in /x", "ADD_OF_REMOTE_URL"),
      ("ADD https://example.org/x /x # buildkit", "ADD_OF_REMOTE_URL"),
      ("RUN curl -fsSL https://example.org/i.sh | sh", "DOWNLOAD_PIPED_TO_SHELL"),
      ("RUN /bin/sh -c wget -qO- https://example.org/i.sh|sudo -E bash -", "DOWNLOAD_PIPED_TO_SHELL"),
      ("RUN curl https://example.org/x | gunzip | /usr/bin/python3 -", "DOWNLOAD_PIPED_TO_SHELL"),
      ("RUN curl https://example.org/x || sh fallback.sh", ""), ("RUN curl https://example.org/x | tar xz", ""),
      ("RUN echo x | sh; curl https://example.org/x -o y", ""),
      ("RUN curl -k https://example.org/x -o x", "TLS_VERIFICATION_OFF"),
      ("RUN curl -fsSLk https://example.org/x -o x", "TLS_VERIFICATION_OFF"),
      ("RUN tar -k x", ""), ("RUN wget --no-check-certificate https://example.org/x", "TLS_VERIFICATION_OFF"),
      ("RUN git -c http.sslVerify=false clone https://example.org/x", "TLS_VERIFICATION_OFF"),
      ("RUN apk add --allow-untrusted x.apk", "UNSIGNED_PACKAGES"), ("RUN chmod -R 777 /app", "CHMOD_FOR_EVERYBODY"),
      ("RUN chmod a+w /app", "CHMOD_FOR_EVERYBODY"), ("RUN echo 777", ""), ("RUN sudo make install", "SUDO_IN_BUILD"),
      ("|1 NPM_TOKEN=ieL4eeng /bin/sh -c npm ci", "SECRET_IN_HISTORY"),
      ("RUN mysql --password quahTh7o", "SECRET_IN_HISTORY"),
      ("RUN git clone https://user:quahTh7o@example.org/x", "SECRET_IN_HISTORY"),
      ("RUN git clone https://user:$PASS@example.org/x", ""), ("RUN git clone https://example.org:443/a@b:c", ""),
      ("ARG NPM_TOKEN", ""), ("RUN --mount=type=secret,id=npm npm ci", ""),
    ])
  func steps(step: String, id: String) throws {
    let found = try ids(Self.sound, history: [step])
    #expect(id.isEmpty ? found.isEmpty : found.contains(id), "\(found)")
  }

  @Test("a step's finding names its layer, where the history says which")
  func layers() throws {
    let found = try findings(
      Self.sound, history: [("ADD file:1 in /", false), ("ENV a=b", true), ("RUN chmod 777 /x", false)])
    #expect(found.map(\.layer) == [1])
    #expect(try findings(Self.sound, history: [("ARG A_TOKEN=ieL4eeng", true)]).map(\.layer) == [-1])
  }

  @Test("a history that repeats itself has an end")
  func bound() throws {
    let history = Array(repeating: ("RUN chmod 777 /x", false), count: 4000)
    #expect(try findings(Self.sound, history: history).count == ConfigurationChecks.findingsMaximum)
  }
}
