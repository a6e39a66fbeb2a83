// compiles: an isolate that has one owner and stays on its thread
import Isolates

func moreThanOne(_ isolate: consuming Isolate) -> Bool {
    let owner = isolate
    return owner.mustBeDiscarded
}
