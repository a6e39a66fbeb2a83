// refused: consum
import Isolates

func free(_ isolate: consuming Isolate) {}

func use(_ isolate: consuming Isolate) -> Bool {
    free(isolate)
    return isolate.mustBeDiscarded
}
