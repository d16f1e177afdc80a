//! Components that are small and valid, and cost a compiler more than any rule does.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, Function, FunctionSection, Instruction, MemorySection, MemoryType,
    Module, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

use super::components::{contract, stub};

/// Values that live across every branch.
const LOCALS: u32 = 40;

/// A component that exports the contract and brings along that many functions of that many branches, which nothing calls.
pub(crate) fn branches(functions: u32, branches: u32) -> Vec<u8> {
    with_module(&module(functions, branches))
}

/// A component that brings along that many functions which do next to nothing.
pub(crate) fn functions(count: u32) -> Vec<u8> {
    let mut function = Function::new([]);
    function.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::End);
    with_module(&of_functions(&vec![function; count as usize]))
}

/// A component that brings along one function of that many bytes, each an instruction that does nothing.
pub(crate) fn body(bytes: usize) -> Vec<u8> {
    let mut function = Function::new([]);
    function.raw(std::iter::repeat_n(1, bytes));
    function.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::End);
    with_module(&of_functions(&[function]))
}

/// A component that brings along a function of blocks within blocks, that many deep.
pub(crate) fn blocks(depth: u32) -> Vec<u8> {
    let mut function = Function::new([]);
    for _ in 0..depth {
        function.instruction(&Instruction::Block(BlockType::Empty));
        // Each can be left, so that none of them goes away.
        function.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::BrIf(0));
    }
    for _ in 0..depth {
        function.instruction(&Instruction::End);
    }
    function.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::End);
    with_module(&of_functions(&[function]))
}

fn module(functions: u32, branches: u32) -> Module {
    of_functions(&vec![branchy(branches); functions as usize])
}

fn of_functions(functions: &[Function]) -> Module {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for function in functions {
        declared.function(0);
        code.function(function);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    module
}

/// Each branch changes one of the values, so that all of them meet again after it.
fn branchy(branches: u32) -> Function {
    let mut function = Function::new([(LOCALS, ValType::I32)]);
    for branch in 0..branches {
        let local = 1 + branch % LOCALS;
        for instruction in [
            Instruction::LocalGet(0),
            Instruction::I32Const(branch.cast_signed()),
            Instruction::I32GtU,
            Instruction::If(BlockType::Empty),
            Instruction::LocalGet(1 + (branch * 7 + 3) % LOCALS),
            Instruction::LocalGet(local),
            Instruction::I32Add,
            Instruction::LocalSet(local),
            Instruction::End,
        ] {
            function.instruction(&instruction);
        }
    }
    function.instruction(&Instruction::LocalGet(1)).instruction(&Instruction::End);
    function
}

/// The stub of the contract with a core module appended, as a section of its own.
fn with_module(module: &Module) -> Vec<u8> {
    let mut component = stub(&[&contract()], "rules");
    append(&mut component, module);
    component
}

fn append(component: &mut Vec<u8>, module: &Module) {
    const CORE_MODULE_SECTION: u8 = 1;
    component.push(CORE_MODULE_SECTION);
    let bytes = module.as_slice();
    leb(component, bytes.len());
    component.extend_from_slice(bytes);
}

/// A component that brings along that many modules, each with a byte at either end of a memory of so many bytes.
pub(crate) fn sparse_modules(count: usize, bytes: u32) -> Vec<u8> {
    let mut component = stub(&[&contract()], "rules");
    for _ in 0..count {
        let mut memories = MemorySection::new();
        let minimum = u64::from(bytes / 65_536);
        memories.memory(MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None });
        let mut data = DataSection::new();
        for at in [0, bytes - 1] {
            data.active(0, &ConstExpr::i32_const(at.cast_signed()), [7]);
        }
        let mut module = Module::new();
        module.section(&memories).section(&data);
        append(&mut component, &module);
    }
    component
}

/// A component that brings along a module of one memory, and that many instances of it.
pub(crate) fn instances(count: usize) -> Vec<u8> {
    const CORE_INSTANCE_SECTION: u8 = 2;
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut module = Module::new();
    module.section(&memories);
    let mut component = with_module(&module);
    let modules = Parser::new(0).parse_all(&component).filter(|it| matches!(it, Ok(Payload::ModuleSection { .. })));
    let last = modules.count() - 1;
    let mut section = Vec::new();
    leb(&mut section, count);
    for _ in 0..count {
        section.push(0);
        leb(&mut section, last);
        section.push(0);
    }
    component.push(CORE_INSTANCE_SECTION);
    leb(&mut component, section.len());
    component.extend(section);
    component
}

/// Components within components, so many deep.
pub(crate) fn nested(depth: usize) -> Vec<u8> {
    // From the inside out, each byte before the ones it stands before, so that nothing is copied more than once.
    let mut reversed: Vec<u8> = PREAMBLE.iter().rev().copied().collect();
    for _ in 0..depth {
        let mut head = vec![4];
        leb(&mut head, reversed.len());
        reversed.extend(head.iter().rev());
        reversed.extend(PREAMBLE.iter().rev());
    }
    reversed.reverse();
    reversed
}

/// Declares a type within a type, so many deep: 0x41 begins that of a component, 0x42 that of an instance.
pub(crate) fn nested_types(kind: u8, depth: usize) -> Vec<u8> {
    let mut section = vec![1];
    for _ in 0..depth {
        // One declaration follows, and it is of a type.
        section.extend([kind, 1, 1]);
    }
    section.extend([kind, 0]);
    let mut bytes = PREAMBLE.to_vec();
    bytes.push(7);
    leb(&mut bytes, section.len());
    bytes.extend(section);
    bytes
}

/// What every component begins with.
pub(crate) const PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// A number as WebAssembly writes it.
pub(crate) fn leb(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
