import Glibc
import Posix
import TestSupport
import Testing

struct DirectoryTests {
  @Test func `Directories get the mode asked for whatever the umask, and others keep theirs`() async throws {
    // The umask is the whole process's.
    await #expect(processExitsWith: .success) {
      umask(0o077)
      let scratch = try TemporaryDirectory()
      chmod(scratch.path, 0o711)
      try File.createDirectories(scratch.path + "/run/socket", mode: 0o755)
      let modes = try ["", "/run", "/run/socket"].map { try File.status(scratch.path + $0).st_mode & 0o777 }
      precondition(modes == [0o711, 0o755, 0o755])
      try File.createDirectories(scratch.path + "/run/socket", mode: 0o700)
      let kept = try File.status(scratch.path + "/run/socket").st_mode & 0o777
      precondition(kept == 0o755)
    }
  }
}
