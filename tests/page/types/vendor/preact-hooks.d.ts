import { Dispatch, StateUpdater } from "preact/hooks";

export {
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useId,
  useLayoutEffect,
  useMemo,
} from "preact/hooks";

/** What begins as null or as an empty list says nothing of what it will hold: it may hold anything. */
export function useState(initial: null): [any, (next: any) => void];
export function useState(initial: never[]): [any[], (next: any[] | ((before: any[]) => any[])) => void];
export function useState<S>(initial: S | (() => S)): [S, Dispatch<StateUpdater<S>>];

export function useRef(initial: null): { current: any };
export function useRef<T>(initial: T): { current: T };
