import Posix
import TestSupport
import Testing

@testable import Pipeline

/// Who may begin: the rules alone, at times that the tests name.
struct SlotLedgerTests {
  private let patience = Duration.seconds(5)

  private func ledger(_ slots: Int) -> SlotLedger { SlotLedger(slots: slots, patience: patience) }

  @Test func `All slots are given, and a slot that comes back is given again`() {
    var ledger = ledger(2)
    ledger.begin(1, of: 7, at: .zero)
    #expect(ledger.hasRoom(at: .zero))
    ledger.begin(2, of: 7, at: .zero)
    #expect(!ledger.hasRoom(at: .zero))
    #expect(ledger.count(of: 7) == 2)
    ledger.end(1)
    ledger.end(1)
    #expect(ledger.hasRoom(at: .zero))
    #expect(ledger.count(of: 7) == 1)
  }

  @Test func `Who waits without progress lends the slot until it goes on`() {
    var ledger = ledger(1)
    ledger.begin(1, of: 7, at: .seconds(10))
    #expect(ledger.nextStall(after: .seconds(10)) == .seconds(15))
    #expect(!ledger.hasRoom(at: .seconds(15) - .nanoseconds(1)))
    #expect(ledger.hasRoom(at: .seconds(15)))
    #expect(ledger.stalledCount(at: .seconds(15)) == 1)
    // It counts against its integration all the same.
    #expect(ledger.count(of: 7) == 1)
    ledger.begin(2, of: 8, at: .seconds(15))
    #expect(!ledger.hasRoom(at: .seconds(16)))
    ledger.progress(1, at: .seconds(17))
    ledger.progress(2, at: .seconds(17))
    ledger.end(2)
    // It went on: there is no room while it does.
    #expect(!ledger.hasRoom(at: .seconds(17)))
    #expect(ledger.hasRoom(at: .seconds(22)))
  }

  @Test func `A few bytes now and then are no progress`() {
    var ledger = ledger(1)
    ledger.begin(1, of: 7, at: .zero)
    for second in 1...4 { ledger.receive(1, 1, at: .seconds(second)) }
    #expect(ledger.hasRoom(at: patience))
    ledger.receive(SlotLedger.bytesOfProgress - 4, 1, at: patience)
    #expect(!ledger.hasRoom(at: patience))
    #expect(ledger.nextStall(after: patience) == .seconds(10))
    // Counted anew.
    ledger.receive(SlotLedger.bytesOfProgress - 1, 1, at: .seconds(9))
    #expect(ledger.hasRoom(at: .seconds(10)))
  }

  @Test func `Work of our own is no waiting, however long it takes`() {
    var ledger = ledger(1)
    ledger.begin(1, of: 7, at: .zero)
    ledger.beginWork(1, at: .seconds(3))
    ledger.beginWork(1, at: .seconds(4))
    #expect(ledger.nextStall(after: .seconds(4)) == nil)
    #expect(!ledger.hasRoom(at: .seconds(1000)))
    ledger.endWork(1, at: .seconds(1000))
    #expect(!ledger.hasRoom(at: .seconds(2000)))
    ledger.endWork(1, at: .seconds(2003))
    // It had waited for three seconds before.
    #expect(ledger.nextStall(after: .seconds(2003)) == .seconds(2005))
    // Short works between few bytes do not keep a slot.
    for second in 2003...2004 {
      ledger.beginWork(1, at: .seconds(second))
      ledger.endWork(1, at: .seconds(second))
    }
    #expect(ledger.hasRoom(at: .seconds(2005)))
  }

  @Test(arguments: [1, 3, 40] as [UInt64])
  func `However many are stalled, all together are bounded by the slots and the integrations`(integrations: UInt64) {
    var ledger = ledger(2)
    var begun: UInt64 = 0
    for second in 0..<1000 {
      let now = patience * second
      // The last of them are the greediest.
      for integration in (1...integrations).reversed() where integration <= UInt64(second) {
        while ledger.hasRoom(at: now), ledger.admits(integration) {
          begun += 1
          ledger.begin(begun, of: integration, at: now)
        }
      }
    }
    let bound = 2 * SlotLedger.holdersPerSlot
    #expect((bound...bound + Int(integrations)).contains(ledger.count))
    #expect((1...integrations).allSatisfy { ledger.count(of: $0) > 0 })
  }

  @Test func `Sixteen dead registries hold up no seventeenth, but get no more themselves`() {
    var ledger = ledger(2)
    for integration in 1...16 as ClosedRange<UInt64> {
      ledger.begin(integration, of: integration, at: patience * Int(integration / 2))
    }
    let now = patience * 100
    #expect(ledger.hasRoom(at: now) && ledger.admits(17) && ledger.admits(18))
    #expect(!ledger.admits(1))
    ledger.begin(17, of: 17, at: now)
    #expect(ledger.hasRoom(at: now) && ledger.admits(18))
    // What it holds counts as any other's.
    #expect(!ledger.admits(17))
    ledger.begin(18, of: 18, at: now)
    #expect(!ledger.hasRoom(at: now))
    for ended in [17, 18, 1] as [UInt64] { ledger.end(ended) }
    #expect(ledger.admits(2))
  }

  @Test func `An integration has all slots but one, or as many as its settings say`() {
    #expect(ScanGate.scansMaximum(0, slots: 4) == 3)
    #expect(ScanGate.scansMaximum(0, slots: 1) == 1)
    #expect(ScanGate.scansMaximum(2, slots: 4) == 2)
    #expect(ScanGate.scansMaximum(4, slots: 4) == 4)
    #expect(ScanGate.scansMaximum(.max, slots: 4) == 4)
  }

  // MARK: - Waiting

  @Test func `Who waits gets a free slot in order, or one that is lent`() async throws {
    let time = ManualTime()
    let slots = LendingSlots(1, patience: patience, clock: time.clock)
    let first = try await slots.acquire(for: 1)
    let second = Task { try await slots.acquire(for: 2) }
    await time.wait(forSleepOf: patience)
    let third = Task { try await slots.acquire(for: 3) }
    time.advance(.seconds(3))
    first.progress()
    time.advance(.seconds(2))
    // It has gone on meanwhile, and is looked at again when it may be stalled.
    await time.wait(forSleepOf: .seconds(3))
    #expect(slots.load == LendingSlots.Load(slots: 1, running: 1, stalled: 0))
    time.advance(.seconds(3))
    let lent = try await second.value
    #expect(slots.load == LendingSlots.Load(slots: 1, running: 2, stalled: 1))
    lent.release()
    try await third.value.release()
    first.release()
    #expect(slots.load == LendingSlots.Load(slots: 1, running: 0, stalled: 0))
  }

  @Test func `Who has none yet is served before those who hold all that there may be`() async throws {
    let time = ManualTime()
    let slots = LendingSlots(1, patience: patience, clock: time.clock)
    var held: [LendingSlots.Slot] = []
    for integration in 1...8 as ClosedRange<UInt64> {
      held.append(try await slots.acquire(for: integration))
      time.advance(patience)
    }
    let greedy = Task { try await slots.acquire(for: 1) }
    let ninth = try await slots.acquire(for: 9)
    #expect(slots.load == LendingSlots.Load(slots: 1, running: 9, stalled: 8))
    ninth.release()
    held.removeLast()
    try await greedy.value.release()
    #expect(slots.count(of: 1) == 1)
    #expect(held.count == 7)
  }

  @Test func `Waiting can be cancelled, and takes no slot`() async throws {
    let time = ManualTime()
    let slots = LendingSlots(1, patience: patience, clock: time.clock)
    let held = try await slots.acquire(for: 1)
    let waiting = Task { try await slots.acquire(for: 2) }
    await time.wait(forSleepOf: patience)
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    held.release()
    #expect(slots.hasRoom)
    #expect(slots.load.running == 0)
  }
}
